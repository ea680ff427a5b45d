//! The data in a pickle: values in one arena, referring to each other by index.
//!
//! An arena rather than nested boxes, since a pickle may share values, contain itself and nest as
//! deeply as it is long: here none of that costs a copy, a leak, or a recursive drop.

/// Index of a [`Value`] in its [`Pickle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id(pub u32);

/// One value. A set is a `List` here.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    None,
    Bool(bool),
    /// Wide enough for the 80 bits of PyTorch's magic number.
    Int(i128),
    Float(f64),
    Bytes(Box<[u8]>),
    String(Box<str>),
    List(Vec<Id>),
    Tuple(Box<[Id]>),
    Dict(Vec<(Id, Id)>),
    /// A class or function: the name only, `module.name`.
    Global(Box<str>),
    Object(Box<Object>),
    /// A reference to data outside the pickle.
    Persistent(Id),
}

/// What unpickling would have made by calling something: the call written down.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    pub callable: Id,
    pub args: Id,
    /// `object[key] = value`, as for an `OrderedDict`.
    pub items: Vec<(Id, Id)>,
    /// `object.append(value)`.
    pub elements: Vec<Id>,
    /// What `__setstate__` would have received.
    pub state: Option<Id>,
}

/// The values of one pickle.
#[derive(Debug)]
pub struct Pickle {
    pub values: Vec<Value>,
    pub root: Id,
}

impl Pickle {
    /// The value at `id`.
    pub fn get(&self, id: Id) -> &Value {
        // Ids come from the reader alone, which hands them out as it pushes; None keeps even a
        // mistake from panicking.
        self.values.get(id.0 as usize).unwrap_or(&Value::None)
    }

    /// The text of a string.
    pub fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// A count, size or offset.
    pub fn size(&self, id: Id) -> Option<usize> {
        match self.get(id) {
            Value::Int(value) => usize::try_from(*value).ok(),
            _ => None,
        }
    }

    /// The elements of a list or tuple, or of the `torch.Size` that early versions wrote.
    pub fn sequence(&self, id: Id) -> Option<&[Id]> {
        let plain = |id: Id| match self.get(id) {
            Value::List(elements) => Some(elements.as_slice()),
            Value::Tuple(elements) => Some(elements.as_ref()),
            _ => None,
        };
        if self.callable(id) == Some("torch.Size") {
            return plain(*self.args(id).first()?);
        }
        plain(id)
    }

    /// The sizes or strides of a tensor.
    pub fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        // PyTorch has no tensors of more dimensions; without this, many tensors sharing one long
        // list would take forever.
        const DIMENSIONS: usize = 64;
        let sizes = self.sequence(id)?;
        if sizes.len() > DIMENSIONS {
            return None;
        }
        sizes.iter().map(|&element| self.size(element)).collect()
    }

    /// `module.name` of what made the object at `id`.
    pub fn callable(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Object(object) => match self.get(object.callable) {
                Value::Global(name) => Some(name),
                _ => None,
            },
            _ => None,
        }
    }

    /// The arguments of the object at `id`; none if it is no object.
    pub fn args(&self, id: Id) -> &[Id] {
        match self.get(id) {
            Value::Object(object) => match self.get(object.args) {
                Value::Tuple(args) => args,
                _ => &[],
            },
            _ => &[],
        }
    }

    /// Whether `id` is a dict or `OrderedDict`.
    pub fn is_dict(&self, id: Id) -> bool {
        let ordered = ["collections.OrderedDict", "collections.defaultdict"];
        matches!(self.get(id), Value::Dict(_))
            || self
                .callable(id)
                .is_some_and(|name| ordered.contains(&name))
    }

    /// The entries of a dict or `OrderedDict`, in the file's order.
    pub fn entries(&self, id: Id) -> Option<Vec<(Id, Id)>> {
        match self.get(id) {
            Value::Dict(items) => Some(items.clone()),
            Value::Object(object) if self.is_dict(id) => {
                // Python 2 passes the entries to the constructor, as a list of [key, value] lists.
                let given = self.args(id).first().and_then(|&list| self.sequence(list));
                let given = given.unwrap_or_default().iter();
                let pairs = given.filter_map(|&pair| match self.sequence(pair)? {
                    [key, value] => Some((*key, *value)),
                    _ => None,
                });
                Some(pairs.chain(object.items.iter().copied()).collect())
            }
            _ => None,
        }
    }

    /// Every reference to data outside the pickle.
    pub fn references(&self) -> impl Iterator<Item = Id> {
        let persistent = |(_, value): &(u32, &Value)| matches!(value, Value::Persistent(_));
        (0..)
            .zip(&self.values)
            .filter(persistent)
            .map(|(index, _)| Id(index))
    }

    /// A few words on what is at `id`, for messages.
    pub fn describe(&self, id: Id) -> String {
        match self.get(id) {
            Value::None => "None".to_owned(),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => "a number".to_owned(),
            Value::Bytes(_) | Value::String(_) => "text".to_owned(),
            Value::List(_) | Value::Tuple(_) => "a list".to_owned(),
            Value::Dict(_) => "a dict".to_owned(),
            Value::Global(name) => format!("the name {}", shorten(name)),
            Value::Object(_) => match self.callable(id) {
                _ if self.is_dict(id) => "a dict".to_owned(),
                Some(name) => format!("an object of {}", shorten(name)),
                None => "an object".to_owned(),
            },
            Value::Persistent(_) => "a bare storage".to_owned(),
        }
    }
}

/// At most 80 characters of a text from a file, without control characters, so that it can neither
/// flood nor fake a message.
pub fn shorten(text: &str) -> String {
    let mut short: String = text
        .chars()
        .take(80)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_show_no_control_characters_and_no_endless_names() {
        assert_eq!(shorten("a\u{1b}[31mb"), "a?[31mb");
        assert_eq!(shorten(&"é".repeat(200)).chars().count(), 81);
    }

    #[test]
    fn an_ordered_dict_of_python_2_has_its_entries_in_its_arguments() {
        let values = vec![
            Value::Global("collections.OrderedDict".into()),
            Value::String("weight".into()),
            Value::Int(7),
            Value::List(vec![Id(1), Id(2)]),
            Value::List(vec![Id(3)]),
            Value::Tuple([Id(4)].into()),
            Value::Object(Box::new(Object {
                callable: Id(0),
                args: Id(5),
                items: vec![(Id(2), Id(1))],
                elements: Vec::new(),
                state: None,
            })),
        ];
        let pickle = Pickle {
            values,
            root: Id(6),
        };
        assert_eq!(
            pickle.entries(pickle.root),
            Some(vec![(Id(1), Id(2)), (Id(2), Id(1))])
        );
    }
}
