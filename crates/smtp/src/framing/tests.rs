use super::*;
use crate::fuzz::{decode_naively, decode_split};
use ForbidBareNewline::{No, Normalize, Note, Reject};

/// Content and what is left behind the end.
fn decoded(mode: ForbidBareNewline, wire: &[u8]) -> Option<(String, usize)> {
    let (content, rest) = decode_split(Decoder::dots(mode), wire, &[])?;
    Some((String::from_utf8_lossy(&content).into_owned(), rest))
}

#[test]
fn ends_of_data() {
    for (name, wire, normalize, no) in [
        ("empty message", &b".\r\n"[..], Some(""), Some("")),
        ("one line", b"a\r\n.\r\n", Some("a\r\n"), Some("a\r\n")),
        ("stuffed", b"..\r\n.a\r\n.\r\n", Some(".\r\na\r\n"), Some(".\r\na\r\n")),
        ("bare LFs", b"a\nb\n\r\n.\r\n", Some("a\r\nb\r\n\r\n"), Some("a\r\nb\r\n\r\n")),
        ("LF . LF", b"a\n.\nb\r\n.\r\n", Some("a\r\nb\r\n"), Some("a\r\n")),
        ("LF . CRLF", b"a\n.\r\nb\r\n.\r\n", Some("a\r\nb\r\n"), Some("a\r\n")),
        ("CRLF . LF", b"a\r\n.\nb\r\n.\r\n", Some("a\r\nb\r\n"), Some("a\r\n")),
        (". LF first", b".\n.\r\n\r\n.\r\n", Some("\r\n"), Some("")),
        ("dropped dot, then the end", b"\n.\r\n.\r\n", Some("\r\n"), Some("\r\n")),
        ("CR . CRLF", b"a\r.\r\n.\r\n", Some("a\r.\r\n"), Some("a\r.\r\n")),
        ("CRLF . CR CRLF", b"a\r\n.\r\r\nb\r\n.\r\n", Some("a\r\n\r\r\nb\r\n"), Some("a\r\n")),
        ("CRLF . CR text", b"a\r\n.\rb\r\n.\r\n", Some("a\r\n\rb\r\n"), Some("a\r\n\rb\r\n")),
        ("CR CRLF", b"a\r\r\n.\r\n", Some("a\r\r\n"), Some("a\r\n")),
        ("LF CR . LF CR", b"a\n\r.\n\rb\r\n.\r\n", Some("a\r\n\r.\r\n\rb\r\n"), Some("a\r\n\r.\r\n\rb\r\n")),
        ("dot and blank", b". \r\n.\r\n", Some(" \r\n"), Some(" \r\n")),
        ("no end", b"a\r\n.", None, None),
        ("nothing", b"", None, None),
    ] {
        let content = |mode| decoded(mode, wire).map(|(content, _)| content);
        assert_eq!(content(Normalize).as_deref(), normalize, "{name}");
        assert_eq!(content(Reject).as_deref(), normalize, "{name}");
        assert_eq!(content(Note).as_deref(), normalize, "{name}");
        assert_eq!(content(No).as_deref(), no, "{name}");
    }
}

#[test]
fn nothing_behind_the_end_is_touched() {
    assert_eq!(decoded(Normalize, b".\r\n.\r\nQUIT\r\n"), Some((String::new(), 9)));
}

#[test]
fn a_long_line_is_one_piece() {
    let wire = [&[b'x'; 100_000][..], b"\r\n.\r\n"].concat();
    let mut decoder = Decoder::dots(Normalize);
    let mut input = &wire[..];
    assert!(matches!(decoder.next(&mut input), Step::Content(piece) if piece.len() == 100_002));
}

#[test]
fn chunks_are_opaque_and_their_last_line_is_ended() {
    for (chunks, expect) in [
        (&[&b"a\r\n"[..]][..], "a\r\n"),
        (&[b"a"], "a\r\n"),
        (&[], ""),
        (&[b"a\r", b"\nb"], "a\r\nb\r\n"),
        (&[b"a\r"], "a\r\r\n"),
        (&[b"a\n.\n", b".\r\n.", b"\r\n"], "a\r\n.\r\n.\r\n.\r\n"),
        (&[b"\n"], "\r\n"),
    ] {
        let mut decoder = Decoder::chunks(Normalize);
        let mut content = Vec::new();
        for chunk in chunks {
            let mut input = *chunk;
            while let Step::Content(piece) = decoder.next(&mut input) {
                content.extend_from_slice(piece);
            }
        }
        while let Some(piece) = decoder.finish() {
            content.extend_from_slice(piece);
        }
        assert_eq!(String::from_utf8_lossy(&content), expect);
    }
}

#[test]
fn bare_newlines_are_seen() {
    for (wire, expect) in [(&b"a\r\n.\r\n"[..], false), (b"a\n\r\n.\r\n", true), (b".\n\r\n.\r\n", true)] {
        let mut decoder = Decoder::dots(Reject);
        let mut input = wire;
        while let Step::Content(_) = decoder.next(&mut input) {}
        assert_eq!(decoder.saw_bare_newline(), expect, "{wire:?}");
    }
}

/// Octets of which line ends and dots are common.
fn wire() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
    use proptest::prelude::*;
    let octet = prop_oneof![3 => Just(b'\r'), 3 => Just(b'\n'), 2 => Just(b'.'), 2 => Just(b'x')];
    proptest::collection::vec(octet, 0..60)
}

proptest::proptest! {
    #[test]
    fn agrees_with_the_naive_reading_at_any_split(
        wire in wire(), cuts in proptest::collection::vec(0usize..60, 0..6),
        mode in proptest::sample::select(vec![No, Note, Normalize, Reject]),
    ) {
        let expect = decode_naively(mode, &wire);
        proptest::prop_assert_eq!(decode_split(Decoder::dots(mode), &wire, &cuts), expect);
    }

    #[test]
    fn content_has_no_bare_newline(wire in wire()) {
        if let Some((content, _)) = decode_split(Decoder::dots(Normalize), &wire, &[]) {
            let is_bare = |i: usize| content[i] == b'\n' && (i == 0 || content[i - 1] != b'\r');
            proptest::prop_assert!((0..content.len()).all(|i| !is_bare(i)));
            proptest::prop_assert!(content.is_empty() || content.ends_with(b"\r\n"));
        }
    }
}
