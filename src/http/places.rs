//! The places for connections: how many there are, how many of them one client may hold, and whose is given to another
//! when all are taken. Knows nothing of requests but whether one is being answered.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// How long a connection that was told to leave may take before it is cut off.
pub(super) const LEAVING: Duration = Duration::from_millis(500);
/// How long a newcomer waits for it before another one is told, too. Newcomers wait one behind the other.
const MAKING_ROOM: Duration = Duration::from_millis(10);

/// All places.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    max_per_peer: usize,
    /// So many places are kept free where somebody is idle: in a crowd, nobody should wait until another has left.
    spare: usize,
    seats: Mutex<Seats>,
}

#[derive(Debug, Default)]
struct Seats {
    /// Counts what happens, so that the order in which connections fell idle is known without a clock.
    turn: u64,
    taken: HashMap<u64, Taken>,
}

#[derive(Debug)]
struct Taken {
    peer: Option<IpAddr>,
    /// When it fell idle, or last took something of an answer; `None` while a request is answered.
    idle_since: Option<u64>,
    is_leaving: bool,
    leave: CancellationToken,
}

impl Places {
    /// So many places in all, and so many of them for one client.
    pub(super) fn new(max: usize, max_per_peer: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(max)), max_per_peer, spare: max / 32, seats: Mutex::default() }
    }

    /// Waits for a place. When nearly all are taken, those who do nothing are told to leave, the longest idle first: one for
    /// each that comes, and several while there is no place at all, since who leaves may take a while.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            if let Ok(place) = Arc::clone(&self.free).try_acquire_owned() {
                if self.free.available_permits() < self.spare {
                    self.make_room();
                }
                return Some(place);
            }
            for _ in 0..=self.spare / 4 {
                self.make_room();
            }
            let waiting = Arc::clone(&self.free).acquire_owned();
            if let Ok(place) = tokio::time::timeout(MAKING_ROOM, waiting).await {
                return place.ok();
            }
        }
    }

    /// Tells the longest idle connection to leave; `false` when none is idle.
    pub(super) fn make_room(&self) -> bool {
        self.locked().dismiss(|_| true)
    }

    /// Seats a client. One that holds as many places as a single client may loses its own longest idle connection;
    /// `None` when it keeps all of them busy.
    pub(super) fn seat(self: &Arc<Self>, address: Option<IpAddr>, place: OwnedSemaphorePermit) -> Option<Seat> {
        let peer = address.and_then(counted);
        let mut seats = self.locked();
        if peer.is_some() {
            let held = seats.taken.values().filter(|taken| taken.peer == peer && !taken.is_leaving).count();
            if held >= self.max_per_peer && !seats.dismiss(|other| other == peer) {
                return None;
            }
        }
        let number = seats.next_turn();
        let leave = CancellationToken::new();
        seats.taken.insert(number, Taken { peer, idle_since: Some(number), is_leaving: false, leave: leave.clone() });
        Some(Seat { places: Arc::clone(self), number, is_stalled: AtomicBool::new(false), leave, _place: place })
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Seats> {
        // Nothing that is done while it is held leaves it half done.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seats {
    fn next_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }

    fn dismiss(&mut self, is_meant: impl Fn(Option<IpAddr>) -> bool) -> bool {
        let meant = self.taken.values_mut().filter(|taken| is_meant(taken.peer) && !taken.is_leaving);
        let idle = meant.filter_map(|taken| Some((taken.idle_since?, taken)));
        let Some((_, longest)) = idle.min_by_key(|(since, _)| *since) else { return false };
        longest.is_leaving = true;
        longest.leave.cancel();
        true
    }
}

/// Whom a connection counts for. Over loopback and Unix sockets a proxy speaks for everybody: those are bounded by all
/// places alone. Whoever has one IPv6 address has the other addresses of its /64 as well.
fn counted(address: IpAddr) -> Option<IpAddr> {
    let address = address.to_canonical();
    if address.is_loopback() {
        return None;
    }
    match address {
        IpAddr::V6(address) => Some(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()),
        IpAddr::V4(_) => Some(address),
    }
}

/// The place of one connection, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    places: Arc<Places>,
    number: u64,
    is_stalled: AtomicBool,
    /// Cancelled when the place is wanted for another.
    pub(super) leave: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Seat {
    /// A request has come and is being answered.
    pub(super) fn begin(&self) {
        self.set(false);
    }

    /// The answer is made; what follows is for the client to take.
    pub(super) fn rest(&self) {
        self.set(true);
    }

    /// The client is waited for: it takes no more of an answer, or sends no more of a body.
    pub(super) fn stalls(&self) {
        self.is_stalled.store(true, Ordering::Relaxed);
    }

    /// It goes on. Who loads a long page over a thin line is not idle as long as it comes.
    pub(super) fn moves_on(&self) {
        self.is_stalled.store(false, Ordering::Relaxed);
        if !self.is_busy() {
            self.set(true);
        }
    }

    /// Whether it is waited for in the midst of an answer or a body.
    pub(super) fn is_stalled(&self) -> bool {
        self.is_stalled.load(Ordering::Relaxed)
    }

    /// Whether a request is being answered.
    pub(super) fn is_busy(&self) -> bool {
        self.places.locked().taken.get(&self.number).is_some_and(|taken| taken.idle_since.is_none())
    }

    fn set(&self, is_idle: bool) {
        let mut seats = self.places.locked();
        let turn = seats.next_turn();
        if let Some(taken) = seats.taken.get_mut(&self.number) {
            taken.idle_since = is_idle.then_some(turn);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.places.locked().taken.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn seated(places: &Arc<Places>, address: &str) -> Option<Seat> {
        let place = places.place().await?;
        places.seat(address.parse().ok(), place)
    }

    #[tokio::test]
    async fn a_newcomer_gets_the_place_of_the_longest_idle() {
        let places = Arc::new(Places::new(3, 3));
        let first = seated(&places, "127.0.0.1").await.expect("a place");
        let second = seated(&places, "127.0.0.1").await.expect("a place");
        let third = seated(&places, "127.0.0.1").await.expect("a place");
        first.begin();
        second.begin();
        second.rest();
        assert!(places.make_room());
        assert_eq!([&first, &second, &third].map(|seat| seat.leave.is_cancelled()), [false, false, true]);
        drop(third);
        let fourth = seated(&places, "127.0.0.1").await.expect("a place");
        fourth.begin();
        assert!(places.make_room(), "the second rests");
        assert!(second.leave.is_cancelled());
        assert!(!places.make_room(), "all others are answered");
    }

    #[tokio::test]
    async fn who_still_takes_of_an_answer_stays_longer_than_who_does_not() {
        let places = Arc::new(Places::new(2, 2));
        let slow = seated(&places, "127.0.0.1").await.expect("a place");
        let deaf = seated(&places, "127.0.0.1").await.expect("a place");
        for seat in [&slow, &deaf] {
            seat.begin();
            seat.rest();
            seat.stalls();
        }
        slow.moves_on();
        assert!(places.make_room());
        assert_eq!([&slow, &deaf].map(|seat| seat.leave.is_cancelled()), [false, true]);
        slow.begin();
        slow.moves_on();
        assert!(slow.is_busy(), "that it takes one answer does not end the next");
    }

    #[tokio::test]
    async fn one_client_cannot_have_all_places() {
        let places = Arc::new(Places::new(20, 2));
        for (mine, neighbour, stranger) in
            [("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::ffff:0:2", "2001:db8:0:1::1")]
        {
            let first = seated(&places, mine).await.expect("a place");
            let second = seated(&places, mine).await.expect("a place");
            first.begin();
            let third = seated(&places, neighbour).await.expect("its own idle one leaves");
            assert!(second.leave.is_cancelled() && !first.leave.is_cancelled());
            third.begin();
            assert!(seated(&places, mine).await.is_none(), "it keeps all of its places busy");
            assert!(seated(&places, stranger).await.is_some());
        }
        let local: Vec<_> =
            [seated(&places, "::1").await, seated(&places, "127.0.0.9").await, seated(&places, "").await]
                .into_iter()
                .flatten()
                .collect();
        assert_eq!(local.len(), 3, "a proxy speaks for everybody");
    }
}
