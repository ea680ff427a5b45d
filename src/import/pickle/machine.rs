//! The instructions, carried out on plain data.

use std::io::Read;

use super::super::Limits;
use super::super::error::Problem;
use super::damaged;
use super::input::Input;
use super::opcode;
use super::stack::Stack;
use super::value::{Id, Object, Pickle, Value};

/// Longest name of a class with its module.
const NAME_LENGTH: usize = 1000;

/// An unpickler that calls nothing.
pub(super) struct Machine<'r, R> {
    input: Input<'r, R>,
    stack: Stack,
}

impl<'r, R: Read> Machine<'r, R> {
    /// A machine at the start of a pickle.
    pub(super) fn new(reader: &'r mut R, limits: &Limits) -> Self {
        let input = Input::new(reader, limits.pickle_bytes);
        Self {
            input,
            stack: Stack::new(limits.pickle_values),
        }
    }

    /// Runs to the end of the pickle.
    pub(super) fn run(mut self) -> Result<Pickle, Problem> {
        loop {
            let code = self.input.byte()?;
            if code == opcode::STOP {
                return self.stack.finish();
            }
            let known = self.scalar(code)?
                || self.collection(code)?
                || self.object(code)?
                || self.bookkeeping(code)?;
            if !known {
                return Err(Problem::Opcode {
                    opcode: code,
                    offset: self.input.position() - 1,
                });
            }
        }
    }

    /// Numbers, texts and the like. False, here and below, if `code` is none of these.
    fn scalar(&mut self, code: u8) -> Result<bool, Problem> {
        let value = match code {
            opcode::NONE => Value::None,
            opcode::NEWTRUE => Value::Bool(true),
            opcode::NEWFALSE => Value::Bool(false),
            opcode::BININT => Value::Int(i32::from_le_bytes(self.input.array()?).into()),
            opcode::BININT1 => Value::Int(self.input.byte()?.into()),
            opcode::BININT2 => Value::Int(u16::from_le_bytes(self.input.array()?).into()),
            opcode::INT => match self.input.line()?.as_str() {
                "00" => Value::Bool(false),
                "01" => Value::Bool(true),
                digits => integer_text(digits)?,
            },
            opcode::LONG => integer_text(self.input.line()?.trim_end_matches('L'))?,
            opcode::LONG1 => {
                let length = self.input.byte()?;
                integer_bytes(self.input.bytes(length.into())?)
            }
            opcode::LONG4 => {
                let length = self.input.length4()?;
                integer_bytes(self.input.bytes(length)?)
            }
            opcode::BINFLOAT => Value::Float(f64::from_be_bytes(self.input.array()?)),
            opcode::SHORT_BINUNICODE | opcode::SHORT_BINSTRING | opcode::SHORT_BINBYTES => {
                let length = self.input.byte()?;
                let bytes = self.input.bytes(length.into())?;
                string(bytes, code == opcode::SHORT_BINBYTES)
            }
            opcode::BINUNICODE | opcode::BINSTRING | opcode::BINBYTES => {
                let length = self.input.length4()?;
                let bytes = self.input.bytes(length)?;
                string(bytes, code == opcode::BINBYTES)
            }
            opcode::BINUNICODE8 | opcode::BINBYTES8 | opcode::BYTEARRAY8 => {
                let length = u64::from_le_bytes(self.input.array()?);
                let bytes = self.input.bytes(length)?;
                string(bytes, code != opcode::BINUNICODE8)
            }
            _ => return Ok(false),
        };
        self.stack.push(value)?;
        Ok(true)
    }

    /// Lists, tuples, dicts and sets, and what fills them.
    fn collection(&mut self, code: u8) -> Result<bool, Problem> {
        let value = match code {
            opcode::EMPTY_LIST | opcode::EMPTY_SET => Value::List(Vec::new()),
            opcode::LIST | opcode::FROZENSET => Value::List(self.stack.pop_mark()?),
            opcode::EMPTY_TUPLE => Value::Tuple([].into()),
            opcode::TUPLE => Value::Tuple(self.stack.pop_mark()?.into()),
            opcode::TUPLE1 => Value::Tuple([self.stack.pop()?].into()),
            opcode::TUPLE2 => {
                let (second, first) = (self.stack.pop()?, self.stack.pop()?);
                Value::Tuple([first, second].into())
            }
            opcode::TUPLE3 => {
                let (third, second, first) =
                    (self.stack.pop()?, self.stack.pop()?, self.stack.pop()?);
                Value::Tuple([first, second, third].into())
            }
            opcode::EMPTY_DICT => Value::Dict(Vec::new()),
            opcode::DICT => Value::Dict(pairs(&self.stack.pop_mark()?)?),
            opcode::APPEND => {
                let element = self.stack.pop()?;
                return self.stack.append(&[element]);
            }
            opcode::APPENDS | opcode::ADDITEMS => {
                let elements = self.stack.pop_mark()?;
                return self.stack.append(&elements);
            }
            opcode::SETITEM => {
                let (value, key) = (self.stack.pop()?, self.stack.pop()?);
                return self.stack.insert(&[(key, value)]);
            }
            opcode::SETITEMS => {
                let entries = pairs(&self.stack.pop_mark()?)?;
                return self.stack.insert(&entries);
            }
            _ => return Ok(false),
        };
        self.stack.push(value)?;
        Ok(true)
    }

    /// What Python would import or call.
    fn object(&mut self, code: u8) -> Result<bool, Problem> {
        let value = match code {
            opcode::GLOBAL => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                global(&module, &name)?
            }
            opcode::STACK_GLOBAL => {
                let (name, module) = (self.stack.pop()?, self.stack.pop()?);
                match (self.stack.value(module), self.stack.value(name)) {
                    (Value::String(module), Value::String(name)) => global(module, name)?,
                    _ => return Err(damaged("a class name that is no text")),
                }
            }
            opcode::REDUCE | opcode::NEWOBJ => {
                let (args, callable) = (self.stack.pop()?, self.stack.pop()?);
                object(callable, args)
            }
            opcode::NEWOBJ_EX => {
                let (_keywords, args, callable) =
                    (self.stack.pop()?, self.stack.pop()?, self.stack.pop()?);
                object(callable, args)
            }
            opcode::BUILD => {
                let state = self.stack.pop()?;
                let Some(Value::Object(object)) = self.stack.top()? else {
                    return Err(damaged("the state of what is no object"));
                };
                object.state = Some(state);
                return Ok(true);
            }
            opcode::BINPERSID => Value::Persistent(self.stack.pop()?),
            _ => return Ok(false),
        };
        self.stack.push(value)?;
        Ok(true)
    }

    /// Stack, memo and framing.
    fn bookkeeping(&mut self, code: u8) -> Result<bool, Problem> {
        match code {
            opcode::PROTO => {
                let protocol = self.input.byte()?;
                if protocol > 5 {
                    return Err(damaged("a protocol newer than 5"));
                }
            }
            // Frames are hints for prefetching; the instructions inside speak for themselves.
            opcode::FRAME => {
                self.input.array::<8>()?;
            }
            opcode::MARK => self.stack.mark()?,
            opcode::POP => self.stack.discard()?,
            opcode::POP_MARK => {
                self.stack.pop_mark()?;
            }
            opcode::DUP => {
                let top = self.stack.peek()?;
                self.stack.push_id(top)?;
            }
            opcode::BINPUT => {
                let key = self.input.byte()?;
                self.stack.memoize(key.into())?;
            }
            opcode::LONG_BINPUT => {
                let key = u32::from_le_bytes(self.input.array()?);
                self.stack.memoize(key)?;
            }
            opcode::MEMOIZE => self.stack.memoize(self.stack.next_key())?,
            opcode::BINGET => {
                let key = self.input.byte()?;
                self.stack.recall(key.into())?;
            }
            opcode::LONG_BINGET => {
                let key = u32::from_le_bytes(self.input.array()?);
                self.stack.recall(key)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn global(module: &str, name: &str) -> Result<Value, Problem> {
    // Copied, unlike all else that values share: a long text named a million times is a bomb.
    if module.len() + name.len() > NAME_LENGTH {
        return Err(damaged("an endless class name"));
    }
    Ok(Value::Global(format!("{module}.{name}").into()))
}

fn object(callable: Id, args: Id) -> Value {
    let (items, elements) = (Vec::new(), Vec::new());
    Value::Object(Box::new(Object {
        callable,
        args,
        items,
        elements,
        state: None,
    }))
}

fn pairs(flat: &[Id]) -> Result<Vec<(Id, Id)>, Problem> {
    let (pairs, rest) = flat.as_chunks::<2>();
    if rest.is_empty() {
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    } else {
        Err(damaged("a dict key without a value"))
    }
}

fn integer_text(digits: &str) -> Result<Value, Problem> {
    match digits.parse() {
        Ok(value) => Ok(Value::Int(value)),
        Err(_) => Err(damaged("an unreadable number")),
    }
}

/// A little-endian integer of any length in two's complement; one that nothing here could use stays
/// bytes.
fn integer_bytes(bytes: Vec<u8>) -> Value {
    let negative = bytes.last().is_some_and(|&high| high >= 0x80);
    let mut wide = [if negative { 0xff } else { 0 }; 16];
    match wide.get_mut(..bytes.len()) {
        Some(low) => {
            low.copy_from_slice(&bytes);
            Value::Int(i128::from_le_bytes(wide))
        }
        None => Value::Bytes(bytes.into()),
    }
}

/// Text, or bytes where Python says so or UTF-8 does not fit (a `str` of Python 2 may be anything).
fn string(bytes: Vec<u8>, binary: bool) -> Value {
    if binary {
        return Value::Bytes(bytes.into());
    }
    match String::from_utf8(bytes) {
        Ok(text) => Value::String(text.into()),
        Err(error) => Value::Bytes(error.into_bytes().into()),
    }
}
