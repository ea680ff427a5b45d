//! A stream's way to the worker and back, with memory that its pictures use again and again.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use casm_core::engine::{LaidFrame, Output};
use casm_core::input::InputBuilder;
use casm_core::{Error, Result};
use crossbeam::channel::{Receiver, Sender, bounded, select};

use crate::saliency::frame::LaidBuffer;
use crate::saliency::imp::lock;
use crate::saliency::worker::interrupt::Signal;
use crate::saliency::worker::model::Model;
use crate::saliency::worker::strips::Strips;

/// What the worker is given.
pub enum Content {
    /// The picture's pixels.
    Pixels,
    /// The frame, of which the worker makes them, as far as the stream does not.
    Strips(LaidBuffer),
    /// The frame, for an engine that prepares its input itself.
    Frame(LaidBuffer),
}

/// One picture, before and after the network.
#[derive(Default)]
pub struct Picture {
    /// `[S, S, 3]`, unless the worker is given the frame instead.
    pub pixels: Vec<u8>,
    /// Mask and logits of this picture alone.
    pub output: Output,
}

/// What has become of a picture.
pub struct Answer {
    /// With its output, if there is one.
    pub picture: Picture,
    /// Whether there is.
    pub result: Result<()>,
    /// When the network began with it and those beside it: pictures of one run have the same.
    pub begun: Instant,
    /// When it had ended.
    pub ended: Instant,
}

/// A stream, as the worker knows it.
#[derive(Clone)]
pub struct Lane {
    number: u64,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Frames that somebody waits for and whose last picture is not computed yet.
    open: AtomicUsize,
    spare: Mutex<Spare>,
}

/// As many as were ever under way at once.
#[derive(Default)]
struct Spare {
    pictures: Vec<Picture>,
    mailboxes: Vec<Arc<Mailbox>>,
}

/// Where an answer arrives.
struct Mailbox {
    /// The frame that is asked about, until the worker begins with it or nobody waits any more.
    frame: Mutex<Option<LaidBuffer>>,
    strips: Strips,
    sender: Sender<Answer>,
    receiver: Receiver<Answer>,
    /// Somebody waits, and there is no answer yet. Who ends that, ends it once.
    wanted: AtomicBool,
}

impl Lane {
    /// A stream with this number.
    pub fn new(number: u64) -> Lane {
        Lane {
            number,
            shared: Arc::default(),
        }
    }

    /// How many frames of it are still to be computed.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// A picture to be filled, with the memory of an earlier one.
    pub fn picture(&self) -> Picture {
        lock(&self.shared.spare).pictures.pop().unwrap_or_default()
    }

    /// Takes back a picture that is not needed any more.
    pub fn recycle(&self, picture: Picture) {
        lock(&self.shared.spare).pictures.push(picture);
    }

    /// A picture for the worker, whose `content` is prepared for `model`; and the ticket for its answer. `last` if it is
    /// the last one of its frame.
    pub fn job(
        &self,
        model: Arc<Model>,
        picture: Picture,
        content: Content,
        last: bool,
    ) -> (Job, Ticket) {
        let spare = lock(&self.shared.spare).mailboxes.pop();
        let mailbox = spare.unwrap_or_else(|| {
            let (sender, receiver) = bounded(1);
            Arc::new(Mailbox {
                frame: Mutex::new(None),
                strips: Strips::default(),
                sender,
                receiver,
                wanted: AtomicBool::new(false),
            })
        });
        mailbox.wanted.store(true, Ordering::SeqCst);
        let as_is = matches!(content, Content::Frame(_));
        let in_strips = matches!(content, Content::Strips(_));
        if in_strips {
            mailbox.strips.begin();
        }
        *lock(&mailbox.frame) = match content {
            Content::Pixels => None,
            Content::Strips(frame) | Content::Frame(frame) => Some(frame),
        };
        self.shared
            .open
            .fetch_add(usize::from(last), Ordering::Relaxed);
        let job = Job {
            model,
            picture: Some(picture),
            as_is,
            in_strips,
            frame: None,
            mailbox: mailbox.clone(),
            lane: self.clone(),
            last,
        };
        let ticket = Ticket {
            mailbox: Some(mailbox),
            in_strips,
            lane: self.clone(),
            last,
        };
        (job, ticket)
    }

    /// True for the one who ends the wait for an answer.
    fn settle(&self, mailbox: &Mailbox, last: bool) -> bool {
        let settled = mailbox.wanted.swap(false, Ordering::SeqCst);
        if settled && last {
            self.shared.open.fetch_sub(1, Ordering::Relaxed);
        }
        settled
    }
}

/// A picture that is with the worker. Dropped, it answers that the worker has ended.
pub struct Job {
    model: Arc<Model>,
    /// Until it is answered.
    picture: Option<Picture>,
    /// Whether it goes to the engine as a frame, which is then in the mailbox until the worker begins.
    as_is: bool,
    /// Whether its pixels are still to be made of that frame.
    in_strips: bool,
    /// From then on; given back before the answer.
    frame: Option<LaidBuffer>,
    mailbox: Arc<Mailbox>,
    lane: Lane,
    last: bool,
}

impl Job {
    /// The stream's number.
    pub fn stream(&self) -> u64 {
        self.lane.number
    }

    /// The network that it was prepared for.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The worker begins with it. False if nobody waits for it any more; then it is not to be computed.
    pub fn begin(&mut self) -> bool {
        // Before the question: who gives up settles first and takes the frame then, so that one that is wanted has it.
        self.frame = lock(&self.mailbox.frame).take();
        self.is_wanted()
    }

    /// Makes its pixels, with the stream, where that is left to the worker, and gives the frame back. False if it cannot
    /// be done; that is answered then.
    pub fn complete(&mut self, input: &mut InputBuilder) -> bool {
        if !std::mem::take(&mut self.in_strips) {
            return true;
        }
        let (Some(frame), Some(picture)) = (self.frame.take(), &mut self.picture) else {
            return true;
        };
        let strips = &self.mailbox.strips;
        let made = frame.read(|LaidFrame { frame, geometry }| {
            strips.complete(input, &frame, &geometry, &mut picture.pixels)
        });
        drop(frame);
        let now = Instant::now();
        let failed = made.map_err(|error| self.answer(Err(error), now, now));
        failed.is_ok()
    }

    /// Whether somebody still waits for it.
    fn is_wanted(&self) -> bool {
        self.mailbox.wanted.load(Ordering::SeqCst)
    }

    /// The picture, until the job is answered.
    pub fn picture(&mut self) -> Option<&mut Picture> {
        self.picture.as_mut()
    }

    /// Its frame, if that goes to the engine as it is and the worker has begun, and the picture for the answer.
    pub fn parts(&mut self) -> (Option<&LaidBuffer>, Option<&mut Picture>) {
        (self.frame.as_ref(), self.picture.as_mut())
    }

    /// The frame of these.
    pub fn frame(&self) -> Option<&LaidBuffer> {
        self.frame.as_ref()
    }

    /// Whether both can be in one run: pictures of one kind for one network.
    pub fn is_alike(&self, other: &Job) -> bool {
        Arc::ptr_eq(&self.model, &other.model) && self.as_is == other.as_is
    }

    /// Tells what has become of it, if that is still wanted.
    pub fn answer(&mut self, result: Result<()>, begun: Instant, ended: Instant) {
        let Some(picture) = self.picture.take() else {
            return;
        };
        // First, so that the stream has its buffer for itself again and may draw in it.
        self.frame = None;
        if !self.lane.settle(&self.mailbox, self.last) {
            self.lane.recycle(picture);
            return;
        }
        let answer = Answer {
            picture,
            result,
            begun,
            ended,
        };
        // There is room: a mailbox has one answer at a time.
        let _ = self.mailbox.sender.try_send(answer);
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.is_wanted() {
            // Computed, or given up.
            if let Some(picture) = self.picture.take() {
                self.lane.recycle(picture);
            }
        } else if self.picture.is_some() {
            let now = Instant::now();
            let error = Error::Engine {
                engine: "casm".to_owned(),
                reason: "its worker has ended; stop and start the element".to_owned(),
            };
            self.begin();
            self.answer(Err(error), now, now);
        }
    }
}

/// The claim to an answer. Dropped, the picture is not computed if it has not been yet, and its frame is let go of at once
/// if the worker has not begun with it.
pub struct Ticket {
    /// Until the answer is there.
    mailbox: Option<Arc<Mailbox>>,
    in_strips: bool,
    lane: Lane,
    last: bool,
}

impl Ticket {
    /// The strips of its picture, if the stream is to make some.
    pub fn strips(&self) -> Option<&Strips> {
        let mailbox = self.mailbox.as_ref().filter(|_| self.in_strips);
        mailbox.map(|mailbox| &mailbox.strips)
    }

    /// Waits for the answer; `None` if interrupted, or if it has been given out before.
    pub fn wait(&mut self, interrupt: &Signal) -> Option<Answer> {
        let mailbox = self.mailbox.as_ref()?;
        let (answers, interrupted) = (&mailbox.receiver, interrupt);
        let answer = select! {
            recv(answers) -> answer => answer.ok(),
            recv(interrupted) -> _ => None,
        }?;
        // Empty again.
        let mailbox = self.mailbox.take()?;
        lock(&self.lane.shared.spare).mailboxes.push(mailbox);
        Some(answer)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(mailbox) = &self.mailbox {
            self.lane.settle(mailbox, self.last);
            let frame = lock(&mailbox.frame).take();
            // Outside of the lock: freeing it takes its time.
            drop(frame);
        }
    }
}
