//! The two loops: callers that wait for their answers, and calls that begin when the plan says so.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use telovix_contract::SensorId;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::args::LoadArgs;
use super::tally::{Tally, Times};
use super::wire::Fault;

/// A call that has everything it needs.
pub(super) type Call = Pin<Box<dyn Future<Output = Done> + Send>>;

/// What callers do.
pub(super) trait Job: Send + Sync + 'static {
    /// Gets ready for a call: takes an agent. `None` when there is nothing left to call with.
    fn ready(&self) -> Option<Call>;
    /// Most calls that can be under way at once.
    fn most(&self) -> usize;
}

/// A finished call, and when its answer was there: what is done after that is not the Console's time.
pub(super) struct Done {
    pub(super) begun: Instant,
    pub(super) ended: Instant,
    pub(super) result: Result<Option<SensorId>, Fault>,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Count,
    Duration,
    Supplies,
    Interrupted,
}

impl Ended {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Duration => "duration",
            Self::Supplies => "supplies",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What both loops share.
pub(super) struct Course<J> {
    pub(super) job: Arc<J>,
    pub(super) tally: Arc<Tally>,
    pub(super) start: Instant,
    /// Becomes true when the operator has had enough.
    pub(super) stop: watch::Receiver<bool>,
}

impl<J> Clone for Course<J> {
    fn clone(&self) -> Self {
        let (job, tally) = (Arc::clone(&self.job), Arc::clone(&self.tally));
        Self { job, tally, start: self.start, stop: self.stop.clone() }
    }
}

impl<J: Job> Course<J> {
    /// Runs to the end of it; calls under way are waited for.
    pub(super) async fn run(self, load: &LoadArgs, duration: Option<Duration>) -> Ended {
        let end = duration.map(|duration| self.start + duration);
        match load.rate {
            Some(rate) => self.open(rate, load.count, end, load.most_under_way).await,
            None => self.closed(load.concurrency, load.count, end).await,
        }
    }

    async fn closed(self, concurrency: usize, count: Option<usize>, end: Option<Instant>) -> Ended {
        let begun = Arc::new(AtomicUsize::new(0));
        let mut callers = JoinSet::new();
        for _ in 0..concurrency.min(self.job.most()) {
            let (own, begun) = (self.clone(), Arc::clone(&begun));
            callers.spawn(async move {
                loop {
                    if *own.stop.borrow() {
                        return Ended::Interrupted;
                    }
                    if end.is_some_and(|end| Instant::now() >= end) {
                        return Ended::Duration;
                    }
                    if count.is_some_and(|count| begun.fetch_add(1, Ordering::Relaxed) >= count) {
                        return Ended::Count;
                    }
                    let Some(call) = own.job.ready() else { return Ended::Supplies };
                    let Done { begun, ended, result } = call.await;
                    own.tally.note(Times { intended: begun, begun, ended }, &result);
                }
            });
        }
        let mut why = Ended::Supplies;
        while let Some(ended) = callers.join_next().await {
            why = ended.expect("no caller panics");
        }
        why
    }

    async fn open(mut self, rate: f64, count: Option<usize>, end: Option<Instant>, most: usize) -> Ended {
        let slots = Arc::new(Semaphore::new(most.min(self.job.most())));
        let mut beats = pacemaker(rate, self.start, count, end);
        let mut calls = JoinSet::new();
        let why = loop {
            let intended = tokio::select! {
                intended = beats.recv() => intended,
                _ = self.stop.wait_for(|stop| *stop) => break Ended::Interrupted,
            };
            let Some(intended) = intended else {
                break if count.is_some() && end.is_none() { Ended::Count } else { Ended::Duration };
            };
            let slot = tokio::select! {
                slot = Arc::clone(&slots).acquire_owned() => slot.expect("never closed"),
                _ = self.stop.wait_for(|stop| *stop) => break Ended::Interrupted,
            };
            let Some(call) = self.job.ready() else { break Ended::Supplies };
            let tally = Arc::clone(&self.tally);
            calls.spawn(async move {
                let Done { begun, ended, result } = call.await;
                drop(slot);
                tally.note(Times { intended, begun, ended }, &result);
            });
            while calls.try_join_next().is_some() {}
        };
        while calls.join_next().await.is_some() {}
        why
    }
}

/// Says when each call is to begin, at that moment. A thread of its own: timers of the runtime are a millisecond coarse.
/// It ends when nobody listens any more.
fn pacemaker(
    rate: f64,
    start: Instant,
    count: Option<usize>,
    end: Option<Instant>,
) -> mpsc::UnboundedReceiver<Instant> {
    let (say, hear) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for number in 0..count.unwrap_or(usize::MAX) {
            let intended = start + Duration::from_secs_f64(number as f64 / rate);
            if end.is_some_and(|end| intended >= end) {
                return;
            }
            std::thread::sleep(intended.saturating_duration_since(Instant::now()));
            if say.send(intended).is_err() {
                return;
            }
        }
    });
    hear
}
