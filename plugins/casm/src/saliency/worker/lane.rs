//! A stream's way to the worker and back, with memory that its pictures use again and again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use casm_core::{Error, Result};
use crossbeam::channel::{Receiver, Sender, bounded, select};

use crate::saliency::frame::held::LaidBuffer;
use crate::saliency::imp::lock;
use crate::saliency::worker::interrupt::Signal;
use crate::saliency::worker::model::Model;
use crate::saliency::worker::picture::{Answer, Content, Picture};
use crate::saliency::worker::strips::{Assembly, Strips};

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
    /// What is asked about, until the worker begins with it or nobody waits any more.
    content: Mutex<Content>,
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
                content: Mutex::default(),
                strips: Strips::default(),
                sender,
                receiver,
                wanted: AtomicBool::new(false),
            })
        });
        mailbox.wanted.store(true, Ordering::SeqCst);
        let as_is = matches!(content, Content::Frame(_));
        if matches!(content, Content::Strips(_)) {
            mailbox.strips.begin();
        }
        *lock(&mailbox.content) = content;
        self.shared
            .open
            .fetch_add(usize::from(last), Ordering::Relaxed);
        let job = Job {
            model,
            picture: Some(picture),
            as_is,
            content: Content::Pixels,
            completed: None,
            mailbox: mailbox.clone(),
            lane: self.clone(),
            last,
        };
        let ticket = Ticket {
            mailbox: Some(mailbox),
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
    /// Whether it goes to the engine as a frame.
    as_is: bool,
    /// Since the worker has begun; in the mailbox until then. Frames are given back before the answer.
    content: Content,
    completed: Option<Instant>,
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
        self.content = std::mem::take(&mut *lock(&self.mailbox.content));
        self.is_wanted()
    }

    /// Makes its pixels, with the stream, where that is left to the worker, and gives the frame back. False if that fails,
    /// which is answered, or if nobody waits for it any more.
    pub fn complete(&mut self, assembly: &mut Assembly) -> bool {
        let mapped = match std::mem::take(&mut self.content) {
            Content::Strips(mapped) => mapped,
            content => {
                self.content = content;
                return true;
            }
        };
        let Some(picture) = &mut self.picture else {
            return false;
        };
        let strips = &self.mailbox.strips;
        let work = || {
            let laid = mapped.frame()?;
            assembly.complete(strips, &laid, &mut picture.pixels)
        };
        let made = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
            Err(Error::Engine {
                engine: "casm".to_owned(),
                reason: "its input panicked; please report this with the video".to_owned(),
            })
        });
        drop(mapped);
        let now = Instant::now();
        self.completed = Some(now);
        if let Err(error) = made {
            // After a panic, it holds anything.
            *assembly = Assembly::default();
            self.answer(Err(error), now, now);
            return false;
        }
        self.is_wanted()
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
        (self.content.as_is(), self.picture.as_mut())
    }

    /// The frame of these.
    pub fn frame(&self) -> Option<&LaidBuffer> {
        self.content.as_is()
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
        self.content = Content::Pixels;
        if !self.lane.settle(&self.mailbox, self.last) {
            self.lane.recycle(picture);
            return;
        }
        let answer = Answer {
            picture,
            result,
            completed: self.completed,
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
    lane: Lane,
    last: bool,
}

impl Ticket {
    /// The strips of its picture, until the answer is there.
    pub fn strips(&self) -> Option<&Strips> {
        self.mailbox.as_ref().map(|mailbox| &mailbox.strips)
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
            let content = std::mem::take(&mut *lock(&mailbox.content));
            // Outside of the lock: freeing a frame takes its time.
            drop(content);
        }
    }
}
