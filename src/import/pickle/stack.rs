//! What the instructions work on: the values made so far, the stack with its marks, and the memo.

use std::collections::HashMap;

use super::super::error::Problem;
use super::damaged;
use super::value::{Id, Pickle, Value};

/// The unpickler's memory, limited in every part.
pub(super) struct Stack {
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Most entries that each of these may have.
    limit: u32,
}

impl Stack {
    /// Nothing yet.
    pub(super) fn new(limit: u32) -> Self {
        let (values, stack, marks, memo) = Default::default();
        Self {
            values,
            stack,
            marks,
            memo,
            limit,
        }
    }

    /// The result: what is on top at the end.
    pub(super) fn finish(mut self) -> Result<Pickle, Problem> {
        let root = self.pop()?;
        Ok(Pickle {
            values: self.values,
            root,
        })
    }

    /// Marks this height of the stack.
    pub(super) fn mark(&mut self) -> Result<(), Problem> {
        self.bounded(self.marks.len())?;
        self.marks.push(self.stack.len());
        Ok(())
    }

    /// Drops the top of the stack, be it a value or a mark.
    pub(super) fn discard(&mut self) -> Result<(), Problem> {
        if self
            .marks
            .pop_if(|mark| *mark == self.stack.len())
            .is_none()
        {
            self.pop()?;
        }
        Ok(())
    }

    /// The key that protocols from 4 give to the next value remembered.
    pub(super) fn next_key(&self) -> u32 {
        // Fits, as the memo is limited to as many.
        self.memo.len() as u32
    }

    /// Makes a value and puts it on the stack.
    pub(super) fn push(&mut self, value: Value) -> Result<(), Problem> {
        self.bounded(self.values.len())?;
        let id = Id(self.values.len() as u32);
        self.values.push(value);
        self.push_id(id)
    }

    /// Puts a value on the stack again.
    pub(super) fn push_id(&mut self, id: Id) -> Result<(), Problem> {
        self.bounded(self.stack.len())?;
        self.stack.push(id);
        Ok(())
    }

    /// The top of the stack, above the last mark.
    pub(super) fn peek(&self) -> Result<Id, Problem> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.last() {
            Some(&id) if self.stack.len() > floor => Ok(id),
            _ => Err(damaged("an instruction on an empty stack")),
        }
    }

    /// Takes the top of the stack, above the last mark.
    pub(super) fn pop(&mut self) -> Result<Id, Problem> {
        let id = self.peek()?;
        self.stack.pop();
        Ok(id)
    }

    /// Takes everything above the last mark, and the mark.
    pub(super) fn pop_mark(&mut self) -> Result<Vec<Id>, Problem> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => Err(damaged("a missing mark")),
        }
    }

    /// The value at `id`.
    pub(super) fn value(&self, id: Id) -> &Value {
        self.values.get(id.0 as usize).unwrap_or(&Value::None)
    }

    /// The value on top of the stack, for filling.
    pub(super) fn top(&mut self) -> Result<Option<&mut Value>, Problem> {
        let id = self.peek()?;
        Ok(self.values.get_mut(id.0 as usize))
    }

    /// Adds to the list, or the like of one, on top of the stack.
    pub(super) fn append(&mut self, elements: &[Id]) -> Result<bool, Problem> {
        match self.top()? {
            Some(Value::List(list)) => list.extend_from_slice(elements),
            Some(Value::Object(object)) => object.elements.extend_from_slice(elements),
            _ => return Err(damaged("elements for what is no list")),
        }
        Ok(true)
    }

    /// Adds to the dict, or the like of one, on top of the stack.
    pub(super) fn insert(&mut self, entries: &[(Id, Id)]) -> Result<bool, Problem> {
        match self.top()? {
            Some(Value::Dict(items)) => items.extend_from_slice(entries),
            Some(Value::Object(object)) => object.items.extend_from_slice(entries),
            _ => return Err(damaged("entries for what is no dict")),
        }
        Ok(true)
    }

    /// Remembers the top of the stack under `key`.
    pub(super) fn memoize(&mut self, key: u32) -> Result<(), Problem> {
        self.bounded(self.memo.len())?;
        let id = self.peek()?;
        self.memo.insert(key, id);
        Ok(())
    }

    /// Puts what was remembered under `key` on the stack again.
    pub(super) fn recall(&mut self, key: u32) -> Result<(), Problem> {
        match self.memo.get(&key) {
            Some(&id) => self.push_id(id),
            None => Err(damaged("a reference to a value that was never stored")),
        }
    }

    fn bounded(&self, length: usize) -> Result<(), Problem> {
        if length >= self.limit as usize {
            let limit = self.limit.into();
            return Err(Problem::TooLarge {
                what: "values in its pickle",
                limit,
            });
        }
        Ok(())
    }
}
