//! `purlin broker`.

use super::Exit;
use super::args::BrokerArgs;
use super::output::Output;
use purlin_api::{Error, ErrorKind};
use purlin_broker::{Broker, Options, TlsFiles};
use serde_json::json;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

pub(crate) fn broker(args: &BrokerArgs, out: &mut Output) -> Exit {
    let options = Options {
        listen: args.listen,
        data: args.data.clone(),
        token: args.token.clone(),
        push_token: args.push_token.clone(),
        open: args.allow_anyone,
        tls: args.tls_cert.clone().zip(args.tls_key.clone()).map(|(cert, key)| TlsFiles { cert, key }),
    };
    let broker = match Broker::start(&options, Arc::new(print_event)) {
        Ok(broker) => broker,
        Err(e) => {
            let option = if matches!(e, purlin_broker::Error::InUse(_)) { " with --listen" } else { "" };
            out.error(&Error::new(ErrorKind::Config, format!("{e}{option}")));
            return Exit::Refused;
        }
    };
    let (tell, told) = sync_channel(1);
    // A second signal finds the channel full: the broker is stopping already.
    let handler = ctrlc::set_handler(move || {
        let _stopping = tell.try_send(());
    });
    if let Err(e) = handler {
        out.note(&format!("warning: cannot listen for signals: {e}\n"));
    }
    announce(&broker, args, out);
    // The handler lives as long as the process: this ends by a signal only.
    let _signalled = told.recv();
    broker.stop();
    Exit::Success
}

fn announce(broker: &Broker, args: &BrokerArgs, out: &mut Output) {
    let address = broker.address();
    if out.json {
        out.print(&format!("{}\n", json!({"listening": address.to_string(), "data": args.data})));
    } else {
        out.print(&format!(
            "listening on {address}, data in {}\nexport PUBSUB_EMULATOR_HOST={address}\n",
            args.data.display()
        ));
    }
}

fn print_event(text: &str) {
    use std::io::Write;
    // A log that nobody reads is no failure.
    let _gone = writeln!(std::io::stderr().lock(), "broker: {text}");
}
