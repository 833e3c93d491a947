//! Queue ids as people type them.

use mail::QueueId;

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Id(QueueId),
    /// It has the form of a queue id, but is too long for one of ours.
    Foreign,
    Invalid,
}

/// Characters of a queue id, at most, as far as Postfix cares.
const LENGTH_LIMIT: usize = 255;

pub(crate) fn read(word: &[u8]) -> Word {
    let is_formed = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    if word.is_empty() || word.len() > LENGTH_LIMIT || !word.iter().all(is_formed) {
        return Word::Invalid;
    }
    QueueId::parse(word).map_or(Word::Foreign, Word::Id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for (word, expect) in [
            ("", Word::Invalid),
            ("../x", Word::Invalid),
            ("A B", Word::Invalid),
            ("A_B", Word::Foreign),
            (&"A".repeat(26), Word::Foreign),
            (&"A".repeat(256), Word::Invalid),
        ] {
            assert_eq!(read(word.as_bytes()), expect, "{word}");
        }
        assert!(matches!(read(b"3Pt2mN2VXxznjll"), Word::Id(_)));
    }
}
