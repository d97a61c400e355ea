//! [`Places`]: who is connected to a server, and who has to go when one more comes.
//!
//! There are so many places and no more. A connection that has imported a device keeps its place for as long as it
//! likes; all others keep theirs until somebody else wants it, so that connections which are opened and left lying
//! about keep nobody out. Who goes is of the address that has the most such connections, and there the one that has
//! asked nothing before one that has, and the older before the newer: a client that asks as soon as it is connected is
//! not the one, as long as a flood comes no faster than it asks.

use std::collections::BTreeMap;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a connection has come to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stage {
    /// It has asked nothing.
    Silent,
    /// It has asked for the list, or for what it did not get.
    Asked,
    /// It has a device, or is about to be given one.
    Importing,
}

/// What decides who goes.
#[derive(Clone, Copy, Debug)]
struct Standing {
    peer: IpAddr,
    stage: Stage,
}

#[derive(Debug)]
struct Connection {
    /// A handle to its socket, by which it can be ended.
    stream: TcpStream,
    standing: Standing,
}

/// The connections of a server.
#[derive(Debug)]
pub(super) struct Places {
    limit: usize,
    taken: Mutex<BTreeMap<u64, Connection>>,
}

/// What becomes of a connection that has come.
#[derive(Debug)]
pub(super) enum Admission {
    /// It has a place, which another one may have had to leave: that one's socket is shut down, so that its thread ends.
    Place(Place, Option<u64>),
    /// All places are those of imports.
    Full,
}

impl Places {
    /// `limit` places, all free.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, taken: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Connection>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds a place for a connection of `peer`. Numbers are in the order of coming.
    pub(super) fn admit(self: &Arc<Self>, number: u64, stream: TcpStream, peer: IpAddr) -> Admission {
        let mut taken = self.lock();
        let mut left = None;
        if taken.len() >= self.limit {
            left = victim(taken.iter().map(|(number, connection)| (*number, connection.standing)));
            let Some(gone) = left.and_then(|number| taken.remove(&number)) else { return Admission::Full };
            let _ = gone.stream.shutdown(Shutdown::Both);
        }
        let standing = Standing { peer: peer.to_canonical(), stage: Stage::Silent };
        taken.insert(number, Connection { stream, standing });
        Admission::Place(Place { places: self.clone(), number }, left)
    }

    /// Ends every connection.
    pub(super) fn shut(&self) {
        for connection in self.lock().values() {
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
    }
}

/// Who has to go, if anybody can be sent away.
fn victim(taken: impl Iterator<Item = (u64, Standing)>) -> Option<u64> {
    let mut by_peer: BTreeMap<IpAddr, Vec<(Stage, u64)>> = BTreeMap::new();
    for (number, Standing { peer, stage }) in taken.filter(|(_, standing)| standing.stage != Stage::Importing)
    {
        by_peer.entry(peer).or_default().push((stage, number));
    }
    let most = by_peer.into_values().max_by_key(Vec::len)?;
    most.into_iter().min().map(|(_, number)| number)
}

/// A connection's place, given up however the connection ends.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
}

impl Place {
    /// It has asked something, and has no device.
    pub(super) fn asked(&self) {
        self.set(Stage::Asked);
    }

    /// It is about to be given a device. `false`: it has had to go.
    pub(super) fn importing(&self) -> bool {
        self.set(Stage::Importing)
    }

    /// Whether it has had to go.
    pub(super) fn is_left(&self) -> bool {
        !self.places.lock().contains_key(&self.number)
    }

    fn set(&self, stage: Stage) -> bool {
        match self.places.lock().get_mut(&self.number) {
            Some(connection) => {
                connection.standing.stage = stage;
                true
            }
            None => false,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// Who goes of these, each by the last byte of its address.
    fn goes(taken: &[(u8, Stage)]) -> Option<u64> {
        let standing = |&(peer, stage)| Standing { peer: Ipv4Addr::new(192, 0, 2, peer).into(), stage };
        victim((0..).zip(taken.iter().map(standing)))
    }

    #[test]
    fn h4_who_goes_is_of_the_address_with_the_most_and_asks_least() {
        use Stage::{Asked, Importing, Silent};
        assert_eq!(goes(&[(1, Importing), (1, Importing)]), None);
        assert_eq!(goes(&[(1, Asked), (1, Silent), (1, Silent)]), Some(1), "silent, and the older one");
        assert_eq!(goes(&[(1, Asked), (1, Asked)]), Some(0));
        assert_eq!(goes(&[(1, Silent), (2, Asked), (2, Asked)]), Some(1), "the address with the most");
        assert_eq!(goes(&[(1, Importing), (1, Importing), (1, Silent), (2, Silent), (2, Silent)]), Some(3));
    }
}
