//! Tickets from parts: DER whose lengths follow, PACs, and what a domain says of an account.

use super::super::super::der::{Reader, element};
use super::*;

/// The way to what is encrypted in a token: the ticket, and the proof. Its type is behind `a0 02`, its bytes are
/// behind `a2 04`.
pub(super) const IN_TICKET: [u8; 8] = [0x60, 0x6e, 0x30, 0xa3, 0x61, 0x30, 0xa3, 0x30];
pub(super) const IN_PROOF: [u8; 5] = [0x60, 0x6e, 0x30, 0xa4, 0x30];
/// The way to the PAC in a ticket.
pub(super) const TO_PAC: [u8; 11] = [0x63, 0x30, 0xaa, 0x30, 0x30, 0xa1, 4, 0x30, 0x30, 0xa1, 4];

/// DER with other contents at the end of a path of tags.
pub(super) fn edited(bytes: &[u8], path: &[u8], change: &dyn Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let Some((tag, below)) = path.split_first() else { return change(bytes) };
    let mut reader = Reader::new(bytes);
    let (mut out, mut found) = (Vec::new(), false);
    while !reader.is_empty() {
        let (here, contents) = reader.element().unwrap();
        if here == *tag && !found {
            found = true;
            out.extend(element(here, &[&edited(contents, below, change)]));
        } else {
            out.extend(element(here, &[contents]));
        }
    }
    assert!(found, "no {tag:02x}");
    out
}

/// An element of authorization data.
pub(super) fn authorization_element(kind: u8, data: &[u8]) -> Vec<u8> {
    // As a positive number, which 143 needs two bytes for.
    let digits = if kind < 0x80 { vec![kind] } else { vec![0, kind] };
    let kind = element(0xa0, &[&element(2, &[&digits])]);
    element(0x30, &[&kind, &element(0xa1, &[&element(4, &[data])])])
}

/// A PAC's buffers, with their types.
#[derive(Clone)]
pub(super) struct Pac(pub(super) Vec<(u32, Vec<u8>)>);

impl Pac {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let at = |place: usize| pac::number(bytes, place).unwrap() as usize;
        let buffers = (0..at(0)).map(|index| {
            let row = 8 + 16 * index;
            (at(row) as u32, bytes[at(row + 8)..at(row + 8) + at(row + 4)].to_vec())
        });
        Pac(buffers.collect())
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut head = [(self.0.len() as u32).to_le_bytes(), [0; 4]].concat();
        let mut data = Vec::new();
        let begin = 8 + 16 * self.0.len();
        for (kind, bytes) in &self.0 {
            for number in [*kind, bytes.len() as u32, (begin + data.len()) as u32, 0] {
                head.extend(number.to_le_bytes());
            }
            data.extend(bytes);
            data.resize(data.len().next_multiple_of(8), 0);
        }
        [head, data].concat()
    }

    pub(super) fn buffer(&mut self, kind: u32) -> &mut Vec<u8> {
        &mut self.0.iter_mut().find(|(found, _)| *found == kind).unwrap().1
    }

    /// Signed as a KDC does with the service's key.
    pub(super) fn signed(&self, key: &Key) -> Self {
        self.signed_as(key, key.etype().checksum_type())
    }

    /// The same, under this type.
    pub(super) fn signed_as(&self, key: &Key, kind: u32) -> Self {
        let mut signed = self.clone();
        let zeros = vec![0; key.etype().mac_bytes()];
        *signed.buffer(6) = [&kind.to_le_bytes()[..], &zeros].concat();
        let mut zeroed = signed.clone();
        zeroed.buffer(7)[4..16].fill(0);
        let signature = key.checksum(Usage::PacSignature, &zeroed.bytes());
        signed.buffer(6)[4..].copy_from_slice(&signature);
        signed
    }
}

/// KERB_VALIDATION_INFO, as far as it is read.
pub(super) struct Info {
    pub(super) user: u32,
    pub(super) primary: u32,
    pub(super) flags: u32,
    pub(super) domain: &'static str,
    pub(super) name: &'static str,
    pub(super) groups: Vec<(u32, u32)>,
    pub(super) extra: Vec<(&'static str, u32)>,
    pub(super) resource_domain: &'static str,
    pub(super) resource: Vec<(u32, u32)>,
    /// How many more groups it announces than there are.
    pub(super) announced: [u32; 3],
}

impl Default for Info {
    fn default() -> Self {
        Info {
            user: 1108,
            primary: 515,
            flags: 0x220,
            domain: DOMAIN,
            name: "EXCH01$",
            groups: vec![(515, 7)],
            extra: Vec::new(),
            resource_domain: DOMAIN,
            resource: Vec::new(),
            announced: [0; 3],
        }
    }
}

impl Info {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut fixed = vec![0; 216];
        let mut put = |at: usize, number: u32| fixed[at..at + 4].copy_from_slice(&number.to_le_bytes());
        let [groups, extra, resource] = self.announced;
        let places = [
            (52, 1),
            (100, self.user),
            (104, self.primary),
            (108, self.groups.len() as u32 + groups),
            (112, 1),
            (116, self.flags),
            (148, 1),
            (152, 1),
            (196, self.extra.len() as u32 + extra),
            (200, 1),
            (204, 1),
            (208, self.resource.len() as u32 + resource),
            (212, 1),
        ];
        places.into_iter().for_each(|(at, number)| put(at, number));
        let rows = |rows: &[(u32, u32)]| {
            let numbers = rows.iter().flat_map(|(rid, attributes)| [*rid, *attributes]);
            numbers_of([rows.len() as u32].into_iter().chain(numbers))
        };
        let extra_rows: Vec<(u32, u32)> = self.extra.iter().map(|(_, attributes)| (1, *attributes)).collect();
        let extra_sids: Vec<u8> = self.extra.iter().flat_map(|(sid, _)| sid_bytes(sid)).collect();
        let head = numbers_of([0x0008_1001, 0xcccc_cccc, 0, 0, 1]);
        let pointed = [
            text(self.name),
            rows(&self.groups),
            text("CONTOSO"),
            sid_bytes(self.domain),
            rows(&extra_rows),
            extra_sids,
            sid_bytes(self.resource_domain),
            rows(&self.resource),
        ];
        [head, fixed, pointed.concat()].concat()
    }
}

fn numbers_of(numbers: impl IntoIterator<Item = u32>) -> Vec<u8> {
    numbers.into_iter().flat_map(u32::to_le_bytes).collect()
}

fn text(text: &str) -> Vec<u8> {
    let units: Vec<u16> = text.encode_utf16().collect();
    let mut bytes = numbers_of([units.len() as u32, 0, units.len() as u32]);
    bytes.extend(units.into_iter().flat_map(u16::to_le_bytes));
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// With its count in front, as a pointer's.
fn sid_bytes(text: &str) -> Vec<u8> {
    let numbers: Vec<u32> = text.split('-').skip(2).map(|number| number.parse().unwrap()).collect();
    let (authority, parts) = numbers.split_first().unwrap();
    let mut bytes = (parts.len() as u32).to_le_bytes().to_vec();
    bytes.extend([1, parts.len() as u8, 0, 0]);
    bytes.extend(authority.to_be_bytes());
    bytes.extend(parts.iter().flat_map(|part| part.to_le_bytes()));
    bytes
}
