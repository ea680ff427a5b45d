//! Protobuf messages in their wire format, written by hand: what casm writes of ONNX and TensorBoard has
//! a handful of fields, for which compilers of protobuf and their libraries are a great deal.

/// A message that is being written: each field is its number and type, then its value.
#[derive(Debug, Default)]
pub struct Message(Vec<u8>);

impl Message {
    /// What is written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Adds an integer, boolean or enumeration.
    pub fn varint(&mut self, field: u64, value: u64) {
        self.key(field, 0);
        self.number(value);
    }

    /// Adds a `float`.
    pub fn float(&mut self, field: u64, value: f32) {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
    }

    /// Adds a `double`.
    pub fn double(&mut self, field: u64, value: f64) {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
    }

    /// Adds bytes or a text.
    pub fn bytes(&mut self, field: u64, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.key(field, 2);
        self.number(bytes.len() as u64);
        self.0.extend(bytes);
    }

    /// Adds a message.
    pub fn message(&mut self, field: u64, message: &Message) {
        self.bytes(field, &message.0);
    }

    fn key(&mut self, field: u64, wire_type: u64) {
        self.number(field << 3 | wire_type);
    }

    /// Seven bits a byte, the lowest first.
    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes from protobuf's documentation, "Encoding": 150 as field 1, "testing" as field 2, and the
    /// former as a message in field 3.
    #[test]
    fn fields_are_as_the_documentation_says() {
        let mut inner = Message::default();
        inner.varint(1, 150);
        assert_eq!(inner.as_bytes(), [0x08, 0x96, 0x01]);
        let mut text = Message::default();
        text.bytes(2, "testing");
        assert_eq!(text.as_bytes(), b"\x12\x07testing");
        let mut outer = Message::default();
        outer.message(3, &inner);
        assert_eq!(outer.into_bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
    }
}
