//! What can be done to a connection and where; and what went over one, from which the places are computed.

/// One of the two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// From the host to the Console.
    Up,
    /// From the Console to the host.
    Down,
}

/// What is done to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// Both ends see an orderly end of the stream (FIN).
    Cut,
    /// Both ends see a reset (RST).
    Reset,
    /// Nothing more comes this way, without a word.
    Stall,
    /// The rest comes a byte at a time, at once.
    Trickle,
    /// The rest comes a byte a second.
    Drip,
    /// One byte is another.
    Flip,
    /// Bytes are put in that nobody sent.
    Garbage,
}

impl Harm {
    /// Every harm.
    pub const ALL: [Self; 7] =
        [Self::Cut, Self::Reset, Self::Stall, Self::Trickle, Self::Drip, Self::Flip, Self::Garbage];
}

/// One harm at one place: after `at` bytes of that way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blow {
    /// Which way.
    pub way: Way,
    /// After how many bytes.
    pub at: u64,
    /// What.
    pub harm: Harm,
}

/// A TLS record as its header tells it (RFC 8446 section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Where it begins.
    pub from: u64,
    /// Where it ends.
    pub to: u64,
    /// Its content type: 20 change_cipher_spec, 21 alert, 22 handshake, 23 sealed.
    pub kind: u8,
}

/// What went over one connection.
#[derive(Debug, Clone, Default)]
pub struct Tape {
    pub(super) up: Vec<u8>,
    pub(super) down: Vec<u8>,
}

impl Tape {
    /// The records of one way.
    pub fn records(&self, way: Way) -> Vec<Record> {
        let bytes = if way == Way::Up { &self.up } else { &self.down };
        let (mut records, mut at) = (Vec::new(), 0);
        while let Some(header) = bytes.get(at..at + 5) {
            let end = at + 5 + usize::from(u16::from_be_bytes([header[3], header[4]]));
            records.push(Record { from: at as u64, to: end as u64, kind: header[0] });
            at = end;
        }
        records
    }
}
