//! Secrets that change together to the stored messages, and back.

use super::{Result, wrong};
use crate::proto::state::v1 as stored;
use crate::state::{PutSecrets, SealMark, Sealed};

pub(super) fn put_to(put: &PutSecrets) -> stored::PutSecrets {
    let secret = |(name, sealed): &(String, Option<Sealed>)| {
        let sealed = sealed.as_ref().map(|sealed| sealed.0.clone());
        stored::PutSecret { name: name.clone(), sealed }
    };
    let expected = |(name, mark): &(String, Option<SealMark>)| {
        let mark = mark.map(|mark| mark.0.to_vec());
        stored::ExpectedSecret { name: name.clone(), mark }
    };
    stored::PutSecrets {
        secrets: put.secrets.iter().map(secret).collect(),
        expected: put.expected.iter().map(expected).collect(),
    }
}

pub(super) fn put_from(put: stored::PutSecrets) -> Result<PutSecrets> {
    let expected = put.expected.into_iter().map(|expected| {
        let mark = expected.mark.map(|mark| <[u8; 16]>::try_from(mark.as_slice()).map(SealMark));
        let mark = mark.transpose().map_err(|_| wrong("the mark of a secret", &expected.name))?;
        Ok((expected.name, mark))
    });
    Ok(PutSecrets {
        secrets: put.secrets.into_iter().map(|put| (put.name, put.sealed.map(Sealed))).collect(),
        expected: expected.collect::<Result<_>>()?,
    })
}
