//! Requests that come at a steady rate, whether those before are answered or not. A latency counts from the moment when
//! the request was due, so that what waits for a connection is seen.

use super::calls::{Caller, Calls};
use anyhow::{Context as _, ensure};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// What came of a steady rate.
pub struct Steady {
    /// Requests a second.
    pub rate: f64,
    /// From when it was due to its answer, in order.
    pub latencies: Vec<Duration>,
    /// How much too late the callers themselves were where a connection was free in time, in order. It is part of the
    /// latencies.
    pub callers_late: Vec<Duration>,
}

/// When each request is due; whoever is free takes the next one.
struct Schedule {
    begun: Instant,
    interval: Duration,
    count: u32,
    taken: AtomicU32,
    /// A permit for each request that is due.
    due: Semaphore,
}

/// One request.
struct Turn {
    latency: Duration,
    callers_late: Option<Duration>,
}

impl Calls {
    /// So many requests a second, on as many connections as there are at most.
    pub async fn at_rate(&self, rate: f64, connections: usize, span: Duration) -> anyhow::Result<Steady> {
        ensure!(rate >= 1.0, "{}: {rate} requests a second are none", self.whom());
        let callers = self.callers(connections).await?;
        let schedule = Arc::new(Schedule {
            begun: Instant::now(),
            interval: Duration::from_secs_f64(1.0 / rate),
            count: (rate * span.as_secs_f64()) as u32,
            taken: AtomicU32::new(0),
            due: Semaphore::new(0),
        });
        let clock = tokio::task::spawn_blocking({
            let schedule = schedule.clone();
            move || schedule.run(connections)
        });
        let turns = callers.into_iter().map(|caller| take_turns(caller, &schedule));
        let (mut latencies, mut callers_late) = (Vec::new(), Vec::new());
        for done in futures::future::join_all(turns).await {
            for turn in done.with_context(|| self.whom())? {
                latencies.push(turn.latency);
                callers_late.extend(turn.callers_late);
            }
        }
        clock.await??;
        latencies.sort_unstable();
        callers_late.sort_unstable();
        Ok(Steady { rate, latencies, callers_late })
    }
}

async fn take_turns(mut caller: Caller<'_>, schedule: &Schedule) -> anyhow::Result<Vec<Turn>> {
    let mut turns = Vec::new();
    loop {
        let in_time = schedule.due.available_permits() == 0;
        schedule.due.acquire().await?.forget();
        let Some(due) = schedule.take() else { return Ok(turns) };
        let callers_late = in_time.then(|| due.elapsed());
        caller.call().await?;
        turns.push(Turn { latency: due.elapsed(), callers_late });
    }
}

impl Schedule {
    fn take(&self) -> Option<Instant> {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        (number < self.count).then(|| self.begun + self.interval * (number + 1))
    }

    /// Lets them go one by one, then all callers. By the kernel's timer: that of the runtime counts milliseconds.
    fn run(&self, callers: usize) -> anyhow::Result<()> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
        let first = (self.begun + self.interval).saturating_duration_since(Instant::now());
        let setting = Itimerspec {
            it_interval: Timespec::try_from(self.interval)?,
            // None at all would turn it off.
            it_value: Timespec::try_from(first.max(Duration::from_nanos(1)))?,
        };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &setting)?;
        let mut left = u64::from(self.count);
        while left > 0 {
            // How often it came since it was asked last.
            let mut times = [0; 8];
            rustix::io::read(&timer, &mut times)?;
            let now = u64::from_ne_bytes(times).min(left);
            self.due.add_permits(usize::try_from(now)?);
            left -= now;
        }
        self.due.add_permits(callers);
        Ok(())
    }
}
