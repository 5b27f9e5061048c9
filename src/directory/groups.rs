//! The groups of callers: asked of the directory, kept for a minute, and while it is away for as long as
//! nobody newer says anything else.
//!
//! Questions live in tasks of their own: a caller waits for an answer a second at most, and an answer that
//! comes later serves the next one. However many ask about an account, the directory is asked once.

use super::ldap::{AccessError, Answer, Client};
use super::metrics::Source;
use crate::event::{Event, Seen};
use crate::principal::Sid;
use crate::tasks::Tasks;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::watch;

/// What is known about accounts.
#[derive(Clone)]
pub(super) struct Groups {
    inner: Arc<Inner>,
}

struct Inner {
    client: Arc<Client>,
    slots: Mutex<HashMap<Sid, Slot>>,
    unreadable: Seen<()>,
    tasks: Tasks,
}

/// One account.
#[derive(Clone, Default)]
struct Slot {
    known: Option<Known>,
    /// When the directory did not want to say.
    refused: Option<Instant>,
    /// Closes when the question that is out has an answer, or none.
    asking: Option<watch::Receiver<()>>,
}

/// An answer, and when it was given.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) answer: Arc<Answer>,
    pub(super) at: Instant,
    /// The same by the clock, which tickets go by.
    told: SystemTime,
    fresh_for: Duration,
}

impl Groups {
    pub(super) fn new(client: Arc<Client>, tasks: Tasks) -> Self {
        Groups {
            inner: Arc::new(Inner {
                client,
                slots: Mutex::default(),
                unreadable: Seen::new(UNREADABLE_EVENT_EVERY),
                tasks,
            }),
        }
    }

    /// What the directory says about an account, or said last. `None`: a ticket that was got then knows better.
    pub(super) async fn of(&self, sid: &Sid, authenticated: SystemTime) -> Option<Known> {
        let metrics = &self.inner.client.metrics;
        let slot = self.look(sid);
        if let Some(known) = slot.known.filter(Known::is_fresh) {
            metrics.groups_from(Source::Cache);
            return Some(known);
        }
        // Who waits for what is away waits in vain; the question is out, and helps the next one.
        if let Some(mut asking) = slot.asking.filter(|_| !self.inner.client.is_away()) {
            // Either it is answered, or the sender is gone: both end it.
            let _ = tokio::time::timeout(WAIT_MAX, asking.changed()).await;
        }
        let max = self.inner.client.config.last_good_max;
        let known = self.last(sid).filter(|known| known.decides(authenticated, max));
        metrics.groups_from(match &known {
            Some(known) if known.is_fresh() => Source::Directory,
            Some(_) => Source::LastGood,
            None => Source::Ticket,
        });
        known
    }

    /// The last answer, unless it is too old to be shown.
    pub(super) fn last_good(&self, sid: &Sid) -> Option<Known> {
        self.last(sid).filter(|known| known.at.elapsed() <= self.inner.client.config.last_good_max)
    }

    fn last(&self, sid: &Sid) -> Option<Known> {
        self.slots().get(sid).and_then(|slot| slot.known.clone())
    }

    /// The last answer about an account of this short name.
    pub(super) fn last_good_named(&self, wanted: &str) -> Option<(Sid, Known)> {
        let max = self.inner.client.config.last_good_max;
        let slots = self.slots();
        let named = slots.iter().filter_map(|(sid, slot)| Some((sid, slot.known.as_ref()?)));
        let mut named = named.filter(|(_, known)| {
            let is_named = matches!(&*known.answer, Answer::Account { name, .. } if name.to_lowercase() == wanted.to_lowercase());
            is_named && known.at.elapsed() <= max
        });
        named.next().map(|(sid, known)| (sid.clone(), known.clone()))
    }

    /// What is known now. Asks the directory if that is not fresh, nobody has asked yet, and it may want to say.
    fn look(&self, sid: &Sid) -> Slot {
        let mut slots = self.slots();
        if !slots.contains_key(sid) && slots.len() >= ACCOUNTS_MAX {
            make_room(&mut slots);
        }
        let slot = slots.entry(sid.clone()).or_default();
        let is_settled = slot.known.as_ref().is_some_and(Known::is_fresh)
            || slot.refused.is_some_and(|at| at.elapsed() < REFUSED_FRESH_MAX);
        if slot.asking.is_none() && !is_settled {
            let (answered, asking) = watch::channel(());
            slot.asking = Some(asking);
            let (this, sid) = (self.clone(), sid.clone());
            self.inner.tasks.spawn("groups of an account", async move {
                let question = Question { groups: this, sid, answered };
                question.ask().await;
            });
        }
        slot.clone()
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Sid, Slot>> {
        self.inner.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question that is out. However it ends, those who wait go on, and the next one asks again.
struct Question {
    groups: Groups,
    sid: Sid,
    answered: watch::Sender<()>,
}

impl Question {
    async fn ask(self) {
        let client = &self.groups.inner.client;
        let answer = match client.membership(&self.sid).await {
            Ok(answer) => answer,
            // Events and metrics have said it.
            Err(AccessError::Away { .. }) => return,
            Err(error @ AccessError::Refused { .. }) => {
                self.groups.slots().entry(self.sid.clone()).or_default().refused = Some(Instant::now());
                let reason = error.to_string();
                if self.groups.inner.unreadable.is_new((), Instant::now()) {
                    let (domain, account) = (&client.config.domain, &self.sid);
                    Event::DirectoryUnreadable { domain, account, reason: &reason }.log();
                } else {
                    tracing::debug!(sid = %self.sid, reason, "the directory does not show this account either");
                }
                return;
            }
        };
        let fresh_for = fresh_for(&answer, client.config.group_cache);
        let (at, told) = (Instant::now(), SystemTime::now());
        let known = Known { answer: Arc::new(answer), at, told, fresh_for };
        let mut slots = self.groups.slots();
        let slot = slots.entry(self.sid.clone()).or_default();
        (slot.known, slot.refused) = (Some(known), None);
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if let Some(slot) = self.groups.slots().get_mut(&self.sid) {
            slot.asking = None;
        }
        let _ = self.answered.send(());
    }
}

impl Known {
    fn is_fresh(&self) -> bool {
        self.at.elapsed() < self.fresh_for
    }

    /// Whether it counts, and not a ticket that was got at that time. An old answer beats an older ticket for as
    /// long as it is remembered: who was taken out or disabled must not come back because the directory is away.
    fn decides(&self, authenticated: SystemTime, last_good_max: Duration) -> bool {
        self.at.elapsed() <= last_good_max || authenticated <= self.told + CLOCKS_APART_MAX
    }
}

/// Up to a quarter less than the setting, so that accounts that came together are not asked about together.
fn fresh_for(answer: &Answer, group_cache: Duration) -> Duration {
    let max = match answer {
        Answer::Account { .. } | Answer::Foreign => group_cache,
        // It may have been made on another controller a moment ago.
        Answer::Gone => group_cache.min(GONE_FRESH_MAX),
    };
    max.mul_f64(1.0 - rand::random::<f64>() / 4.0)
}

/// Takes out the tenth that was asked about longest ago.
fn make_room(slots: &mut HashMap<Sid, Slot>) {
    let mut known: Vec<(Option<Instant>, Sid)> = slots
        .iter()
        .filter(|(_, slot)| slot.asking.is_none())
        .map(|(sid, slot)| (slot.known.as_ref().map(|known| known.at), sid.clone()))
        .collect();
    known.sort_unstable();
    for (_, sid) in known.iter().take(ACCOUNTS_MAX / 10) {
        slots.remove(sid);
    }
}

/// A client would rather have a slow answer than none, but not a slower one than this.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// What a controller's clock may be ahead of ours: Kerberos takes no more.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(5 * 60);
/// How long an account that is not there stays so.
const GONE_FRESH_MAX: Duration = Duration::from_secs(5);
/// How long a directory that does not want to say is not asked again: who waits for it waits in vain.
const REFUSED_FRESH_MAX: Duration = Duration::from_secs(5);
/// One event tells as much as one for each account.
const UNREADABLE_EVENT_EVERY: Duration = Duration::from_secs(10 * 60);
/// Servers have accounts in hundreds; with a hundred groups each this is 35 MB. No answer is forgotten before
/// there are more: tickets may be renewed for days.
const ACCOUNTS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Answer {
        Answer::Account { name: "EXCH01$".into(), groups: Vec::new(), enabled: true }
    }

    fn known(answer: Answer) -> Known {
        let (at, told) = (Instant::now(), SystemTime::now());
        Known { answer: Arc::new(answer), at, told, fresh_for: Duration::ZERO }
    }

    /// However long the directory is away: only a ticket that was got later knows better than its last answer.
    #[test]
    fn an_old_answer_beats_an_older_ticket() {
        let hour = Duration::from_secs(3600);
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let known = known(Answer::Gone);
        let known = Known { at: known.at.checked_sub(2 * second).unwrap(), ..known };
        for (authenticated, good_for, wanted) in [
            (known.told - hour, second, true),
            (known.told, second, true),
            // The controller's clock may be ahead.
            (known.told + 4 * minute, second, true),
            (known.told + 6 * minute, second, false),
            (known.told + 6 * minute, hour, true),
        ] {
            assert_eq!(known.decides(authenticated, good_for), wanted, "{authenticated:?} {good_for:?}");
        }
    }

    #[test]
    fn an_answer_is_fresh_for_the_setting_at_most_and_not_for_the_same_time() {
        let minute = Duration::from_secs(60);
        let times: Vec<Duration> = (0..100).map(|_| fresh_for(&account(), minute)).collect();
        assert!(times.iter().all(|time| (minute * 3 / 4..=minute).contains(time)), "{times:?}");
        assert!(times.iter().any(|time| *time != times[0]));
        assert!(fresh_for(&Answer::Gone, minute) <= GONE_FRESH_MAX);
    }

    #[test]
    fn the_oldest_make_room_and_no_question_that_is_out() {
        let mut slots = HashMap::new();
        let start = Instant::now();
        let sid = |number: usize| Sid::new(5, &[21, 1, 2, 3, u32::try_from(number).unwrap()]).unwrap();
        for number in 0..ACCOUNTS_MAX {
            let at = start + Duration::from_millis(number as u64);
            let known = Known { at, ..known(account()) };
            let asking = (number == 0).then(|| watch::channel(()).1);
            slots.insert(sid(number), Slot { known: Some(known), asking, refused: None });
        }
        make_room(&mut slots);
        assert_eq!(slots.len(), ACCOUNTS_MAX - ACCOUNTS_MAX / 10);
        assert!(slots.contains_key(&sid(0)) && !slots.contains_key(&sid(1)));
        assert!(slots.contains_key(&sid(ACCOUNTS_MAX - 1)));
    }
}
