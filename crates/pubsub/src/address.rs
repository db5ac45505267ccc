//! Where the service is.

use crate::error::{Error, Result};

/// Google's own service.
pub const GOOGLE: &str = "pubsub.googleapis.com";

/// Where the service is, and whether the way there is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    tls: bool,
}

impl Address {
    /// From what was given, and what the environment says: an explicit host, else `PUBSUB_EMULATOR_HOST`, else
    /// Google. `HOST:PORT` and `http://HOST:PORT` are plain text, `https://HOST[:PORT]` is TLS.
    ///
    /// # Errors
    /// If the text is no address.
    pub fn resolve(explicit: Option<&str>, emulator_host: Option<&str>) -> Result<Self> {
        match explicit.or(emulator_host.filter(|h| !h.trim().is_empty())) {
            Some(text) => Self::parse(text),
            None => Ok(Address { host: GOOGLE.to_owned(), tls: true }),
        }
    }

    /// As [`Address::resolve`], from the variables of this process.
    ///
    /// # Errors
    /// As there.
    pub fn from_env(explicit: Option<&str>) -> Result<Self> {
        let emulator = std::env::var("PUBSUB_EMULATOR_HOST").ok();
        Self::resolve(explicit, emulator.as_deref())
    }

    fn parse(text: &str) -> Result<Self> {
        let trimmed = text.trim().trim_end_matches('/');
        let (tls, host) = match trimmed.split_once("://") {
            Some(("https", host)) => (true, host),
            Some(("http", host)) => (false, host),
            Some(_) => (false, ""),
            // Google's service has no plain port.
            None => (trimmed == GOOGLE || trimmed.strip_suffix(":443") == Some(GOOGLE), trimmed),
        };
        let port_fits = match host.rsplit_once(':') {
            // The colons of `[::1]` are no port.
            Some((_, rest)) if rest.ends_with(']') => tls,
            Some((name, port)) => !name.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0),
            None => tls,
        };
        let fits = !host.is_empty() && !host.contains(|c: char| c == '/' || c == '@' || c.is_whitespace());
        if !fits || !port_fits {
            return Err(Error::config(format!(
                "`{text}` is no address of a Pub/Sub service; write HOST:PORT such as `localhost:8085`, or \
                 https://HOST[:PORT] (PUBSUB_EMULATOR_HOST gives it, too)"
            )));
        }
        Ok(Address { host: host.to_owned(), tls })
    }

    /// Host and port as they were given, for messages.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// True if the way there is encrypted.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// True if this is Google's service, which asks for credentials.
    pub fn is_google(&self) -> bool {
        let name = self.host.strip_suffix(":443").unwrap_or(&self.host);
        self.tls && (name == GOOGLE || name.ends_with("pubsub.googleapis.com"))
    }

    /// True if nothing leaves this machine on the way there.
    pub fn is_loopback(&self) -> bool {
        let name = self.host.rsplit_once(':').map_or(self.host.as_str(), |(n, _)| n);
        let name = name.trim_start_matches('[').trim_end_matches(']');
        name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    pub(crate) fn uri(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_decides_where() {
        let at = |e: Option<&str>, v: Option<&str>| Address::resolve(e, v).unwrap();
        assert!(at(None, None).is_google());
        assert!(at(None, Some("")).is_google());
        assert_eq!(at(None, Some("localhost:8085")).uri(), "http://localhost:8085");
        assert_eq!(at(Some("http://[::1]:9"), Some("localhost:8085")).uri(), "http://[::1]:9");
        assert_eq!(at(Some("https://broker.example"), None).uri(), "https://broker.example");
        assert!(at(Some("europe-west3-pubsub.googleapis.com:443"), None).host().contains("west3"));
        assert!(at(Some("pubsub.googleapis.com:443"), None).is_google());
        assert!(at(Some("127.0.0.1:1"), None).is_loopback() && at(Some("[::1]:1"), None).is_loopback());
        assert!(!at(Some("10.0.0.1:1"), None).is_loopback());
    }

    #[test]
    fn what_is_no_address_is_said() {
        for bad in [
            "localhost",
            "localhost:",
            ":8085",
            "ftp://x:1",
            "a b:1",
            "h:99999",
            "http://h",
            "u@h:1",
            "x/y:1",
        ] {
            let e = Address::resolve(Some(bad), None).unwrap_err().to_string();
            assert!(e.contains(bad) && e.contains("HOST:PORT"), "{e}");
        }
    }
}
