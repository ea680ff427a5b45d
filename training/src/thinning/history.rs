//! The kept classifiers themselves.

use casm::Result;
use casm::module::Module;
use casm::network::Graph;
use casm::parameters::Parameters;
use tch::Device;

/// F: copies of earlier classifiers, weights and running statistics.
#[derive(Debug)]
pub struct History {
    members: Vec<Member>,
    graph: Graph,
    /// Where the copies lie.
    device: Device,
    /// Where they are run.
    run_on: Device,
}

#[derive(Debug)]
struct Member {
    /// Number of the step, from 1, at which the copy was made; 0: before the first.
    step: u64,
    parameters: Parameters,
    /// Bound to the copy, where it lies on the device that it runs on.
    module: Option<Module>,
}

impl History {
    /// An empty set for classifiers of this graph. Copies lie on `device`: the CPU's memory holds more,
    /// at the price of a transfer for each judged step.
    pub fn new(graph: Graph, device: Device, run_on: Device) -> History {
        History {
            members: Vec::new(),
            graph,
            device,
            run_on,
        }
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// True before the first.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Copies the classifier into `slot`; a slot equal to [`len`](History::len) is a new one.
    ///
    /// # Errors
    /// No memory.
    pub fn keep(&mut self, slot: usize, step: u64, classifier: &Parameters) -> Result<()> {
        let parameters = classifier.copied(self.device)?;
        let module = (self.device == self.run_on)
            .then(|| Module::new(&self.graph, &parameters))
            .transpose()?;
        let member = Member {
            step,
            parameters,
            module,
        };
        match self.members.get_mut(slot) {
            Some(old) => *old = member,
            None => self.members.push(member),
        }
        Ok(())
    }

    /// Forgets all members.
    pub fn clear(&mut self) {
        self.members.clear();
    }

    /// Runs `judge` with the member in `slot`.
    ///
    /// # Errors
    /// Those of `judge`; no memory for a copy on the device.
    ///
    /// # Panics
    /// If the slot is empty.
    pub fn with<T>(&self, slot: usize, judge: impl FnOnce(&Module) -> Result<T>) -> Result<T> {
        let member = &self.members[slot];
        match &member.module {
            Some(module) => judge(module),
            None => {
                let parameters = member.parameters.copied(self.run_on)?;
                judge(&Module::new(&self.graph, &parameters)?)
            }
        }
    }

    /// Steps and tensors of the members in the order of their slots, to be stored.
    pub fn members(&self) -> impl Iterator<Item = (u64, &Parameters)> {
        self.members
            .iter()
            .map(|member| (member.step, &member.parameters))
    }
}
