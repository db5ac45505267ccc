//! Where messages are pushed to.

use tonic::codegen::http::Uri;

/// An address of HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint(Uri);

impl Endpoint {
    /// Reads an address; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|e| format!("it is no address: {e}"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(
                    "the broker pushes to http:// addresses only; put a proxy that speaks TLS before the \
                            endpoint"
                        .to_owned(),
                );
            }
            _ => return Err("it must begin with http://".to_owned()),
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err("it names no host".to_owned());
        }
        Ok(Endpoint(uri))
    }

    /// The address.
    pub(crate) fn uri(&self) -> &Uri {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_http_are_endpoints() {
        assert!(Endpoint::parse("http://localhost:8080/push?a=b").is_ok());
        for wrong in
            ["", "localhost", "/push", "https://x/", "ftp://x/", "http://", "http:///x", "http://a b/"]
        {
            assert!(Endpoint::parse(wrong).is_err(), "{wrong}");
        }
    }
}
