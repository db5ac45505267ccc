//! A client of Google's Pub/Sub API: where the service is, who asks, and the calls that pipelines and the
//! command line need.
