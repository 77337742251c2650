//! How many connections each address has open.
//!
//! Invariant: an address is remembered as long as it has a connection open and no longer, so that there are never more
//! entries than connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The connections of all addresses.
#[derive(Debug, Clone)]
pub(super) struct Crowd {
    most: usize,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection's place; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    address: IpAddr,
    crowd: Crowd,
}

impl Crowd {
    /// At most so many for each.
    pub(super) fn new(most: usize) -> Self {
        Self { most, open: Arc::default() }
    }

    /// A place for one more, if this address has one left.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(&address).copied().unwrap_or(0);
        (count < self.most).then(|| {
            open.insert(address, count + 1);
            Place { address, crowd: self.clone() }
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.crowd.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(open.remove(&self.address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_given_back_and_forgotten() {
        let crowd = Crowd::new(2);
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let first = crowd.enter(one).unwrap();
        let second = crowd.enter("::ffff:192.0.2.1".parse().unwrap()).unwrap();
        assert!(crowd.enter(one).is_none());
        let third = crowd.enter(other).unwrap();
        drop(first);
        let fourth = crowd.enter(one).unwrap();
        drop((second, third, fourth));
        assert!(crowd.open.lock().unwrap().is_empty());
    }
}
