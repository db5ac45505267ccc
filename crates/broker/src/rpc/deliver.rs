//! Encoding of what is delivered: the messages are copied as they lie in the log.

use crate::subscription::core::Delivery;
use crate::wire::{bytes_len, number_len, put_bytes, put_header, put_number};

const RECEIVED_MESSAGES: u32 = 1;
const ACK_ID: u32 = 1;
const MESSAGE: u32 = 2;
const DELIVERY_ATTEMPT: u32 = 3;

/// Adds `received_messages` of a `PullResponse` or `StreamingPullResponse`.
pub(crate) fn put_received(deliveries: &[Delivery], with_attempt: bool, into: &mut Vec<u8>) {
    let bytes: usize = deliveries.iter().map(|d| d.payload.len() + 64).sum();
    into.reserve(bytes);
    let mut ack_id = Vec::with_capacity(48);
    for delivery in deliveries {
        ack_id.clear();
        delivery.ack_id.write(&mut ack_id);
        let attempt = u64::from(delivery.attempt);
        let mut length = bytes_len(ACK_ID, ack_id.len()) + bytes_len(MESSAGE, delivery.payload.len());
        if with_attempt {
            length += number_len(DELIVERY_ATTEMPT, attempt);
        }
        put_header(RECEIVED_MESSAGES, length, into);
        put_bytes(ACK_ID, &ack_id, into);
        put_bytes(MESSAGE, &delivery.payload, into);
        if with_attempt {
            put_number(DELIVERY_ATTEMPT, attempt, into);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subscription::ack_id::AckId;
    use prost::Message;
    use pubsub_proto::google::pubsub::v1 as pb;

    #[test]
    fn what_is_encoded_by_hand_is_a_pull_response() {
        let message = pb::PubsubMessage { data: "x".into(), ..Default::default() };
        let ack_id = AckId { incarnation: 1, offset: 2, lease: 3 };
        let delivery = Delivery { ack_id, attempt: 300, payload: message.encode_to_vec().into() };
        for with_attempt in [false, true] {
            let mut bytes = Vec::new();
            put_received(&[delivery.clone(), delivery.clone()], with_attempt, &mut bytes);
            let received = pb::ReceivedMessage {
                ack_id: ack_id.to_string(),
                message: Some(message.clone()),
                delivery_attempt: if with_attempt { 300 } else { 0 },
            };
            let expected = pb::PullResponse { received_messages: vec![received.clone(), received] };
            assert_eq!(pb::PullResponse::decode(&bytes[..]).unwrap(), expected);
        }
    }
}
