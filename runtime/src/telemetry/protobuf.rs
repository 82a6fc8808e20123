//! The few words of Protocol Buffers that OTLP needs: <https://protobuf.dev/programming-guides/encoding/>.

/// A message that is written field by field. What is empty or zero is left out, as in proto3.
#[derive(Clone, Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn number(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.number_even_zero(field, value);
        }
    }

    /// A member of a `oneof` is there even if it is zero.
    pub(super) fn number_even_zero(&mut self, field: u32, value: u64) {
        self.key(field, 0);
        self.varint(value);
    }

    pub(super) fn fixed64(&mut self, field: u32, value: u64) {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn text(&mut self, field: u32, text: &str) {
        if !text.is_empty() {
            self.text_even_empty(field, text);
        }
    }

    pub(super) fn text_even_empty(&mut self, field: u32, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    pub(super) fn message(&mut self, field: u32, message: &Message) {
        self.bytes(field, &message.0);
    }

    pub(super) fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.key(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn key(&mut self, field: u32, wire: u32) {
        self.varint(u64::from(field << 3 | wire));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[test]
fn messages_are_written_as_the_specification_shows() {
    let mut message = Message::default();
    message.number(1, 150);
    message.text(2, "testing");
    message.number(3, 0);
    assert_eq!(message.into_bytes(), b"\x08\x96\x01\x12\x07testing");
}
