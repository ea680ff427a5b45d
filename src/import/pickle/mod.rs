//! A pickle reader that executes nothing.
//!
//! Python's unpickler is an interpreter whose `REDUCE` calls any function that the file names. Here
//! a name stays a name ([`Value::Global`]) and a call is written down ([`Value::Object`]), so a
//! malicious file yields inert data. Instructions that `torch.save` never writes are errors.

mod input;
mod machine;
mod opcode;
mod stack;
mod value;

use std::io::Read;

use super::Limits;
use super::error::Problem;
use machine::Machine;
pub(super) use value::{Id, Pickle, Value, shorten};

/// Reads one pickle, leaving `reader` right behind it.
///
/// # Errors
/// [`Problem::Truncated`], [`Problem::Opcode`], [`Problem::Damaged`] if instructions and stack do
/// not fit, [`Problem::TooLarge`] beyond `limits`, [`Problem::Io`].
pub(super) fn read(reader: &mut impl Read, limits: &Limits) -> Result<Pickle, Problem> {
    Machine::new(reader, limits).run()
}

fn damaged(what: &str) -> Problem {
    Problem::Damaged(format!("its pickle has {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(bytes: &[u8]) -> Result<Pickle, Problem> {
        read(&mut &bytes[..], &Limits::default())
    }

    fn root(bytes: &[u8]) -> Value {
        let pickle = load(bytes).unwrap();
        pickle.get(pickle.root).clone()
    }

    /// As `pickle.dumps` writes them in protocols 2 and 1.
    #[test]
    fn scalars_have_their_values() {
        assert_eq!(root(b"\x80\x02K\x07."), Value::Int(7));
        assert_eq!(root(b"\x80\x02M\xe9\x03."), Value::Int(1001));
        assert_eq!(root(b"\x80\x02J\xff\xff\xff\xff."), Value::Int(-1));
        assert_eq!(root(b"\x80\x02\x8a\x00."), Value::Int(0));
        assert_eq!(root(b"\x80\x02\x8a\x01\x80."), Value::Int(-128));
        assert_eq!(root(b"\x80\x02\x8a\x02\xff\x00."), Value::Int(255));
        assert_eq!(root(b"\x80\x02G?\xe0\0\0\0\0\0\0."), Value::Float(0.5));
        assert_eq!(
            root(b"\x80\x02X\x02\0\0\0\xc3\xa9."),
            Value::String("é".into())
        );
        assert_eq!(root(b"I01\n."), Value::Bool(true));
        assert_eq!(root(b"L-5L\n."), Value::Int(-5));
    }

    #[test]
    fn a_call_is_written_down_with_its_state() {
        let pickle = load(b"cos\nsystem\nX\x02\0\0\0ls\x85R}b.").unwrap();
        assert_eq!(pickle.callable(pickle.root), Some("os.system"));
        let argument = pickle.args(pickle.root)[0];
        assert_eq!(pickle.text(argument), Some("ls"));
        let Value::Object(object) = pickle.get(pickle.root) else {
            panic!("no object")
        };
        assert!(object.state.is_some());
    }

    #[test]
    fn what_torch_does_not_write_is_an_error_at_its_place() {
        for code in [b'P', b'S', b'V', b'i', b'o', 0x82, 0x97, 0xff] {
            let problem = load(&[0x80, 2, b'N', code]).unwrap_err();
            assert!(matches!(problem, Problem::Opcode { opcode, offset: 3 } if opcode == code));
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        for bytes in [
            &b"."[..],
            b"(.",
            b"N(0000.",
            b"h\x05.",
            b"NNa.",
            b"(t(KsK.",
            b"N}b.",
            b"](Ne(NNNd.",
            b"NN\x93.",
            b"Ixyz\n.",
            b"\x80\x09N.",
            b"c\xff\n\xff\n.",
        ] {
            assert!(load(bytes).is_err(), "{bytes:?}");
        }
        assert!(matches!(
            load(b"\x80\x02X\xff\xff\xff\x00abc"),
            Err(Problem::Truncated)
        ));
        let promised = b"\x80\x02\x8e\xff\xff\xff\xff\xff\xff\xff\xff";
        assert!(matches!(load(promised), Err(Problem::TooLarge { .. })));
    }

    #[test]
    fn deep_nesting_and_values_inside_themselves_are_harmless() {
        let mut nested = vec![b'N'];
        nested.resize(1_000_000, 0x85);
        nested.push(b'.');
        drop(load(&nested).unwrap());
        // l = []; l.append(l)
        let cycle = load(b"]q\0h\0a.").unwrap();
        assert_eq!(cycle.get(cycle.root), &Value::List(vec![cycle.root]));
    }

    #[test]
    fn sharing_copies_nothing() {
        // Each tuple holds the one before twice: 2^40 elements if any of it were copied.
        let mut bomb = b")".to_vec();
        bomb.extend(b"2\x86".repeat(40));
        bomb.push(b'.');
        assert_eq!(load(&bomb).unwrap().values.len(), 41);
        // A long text named again and again as a class.
        let mut names = b"X\0\x10\0\0".to_vec();
        names.resize(5 + 4096, b'a');
        names.extend_from_slice(b"22\x93.");
        assert!(matches!(load(&names), Err(Problem::Damaged(_))));
    }

    #[test]
    fn every_part_of_the_memory_is_limited() {
        let limits = Limits {
            pickle_values: 1000,
            ..Limits::default()
        };
        // Values, marks, the stack, the memo.
        for flood in [b'N', b'(', b'2', 0x94] {
            let mut bytes = vec![b'N'];
            bytes.resize(2000, flood);
            let problem = read(&mut bytes.as_slice(), &limits).unwrap_err();
            assert!(
                matches!(problem, Problem::TooLarge { limit: 1000, .. }),
                "{flood:?}"
            );
        }
        let short = Limits {
            pickle_bytes: 3,
            ..Limits::default()
        };
        let problem = read(&mut &b"NNNN."[..], &short).unwrap_err();
        assert!(matches!(problem, Problem::TooLarge { limit: 3, .. }));
    }
}
