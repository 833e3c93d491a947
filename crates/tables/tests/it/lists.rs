//! Lists of tables.

use super::Place;
use mail::Address;
use mail::keys::{Extensions, Search};
use tables::{Maps, split_list};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn maps(place: &Place, list: &str) -> Maps {
    Maps::new("test_maps", split_list(list).map(|spec| place.open(spec)).collect())
}

#[test]
fn the_first_answer_counts() {
    let place = Place::new();
    let maps = maps(&place, "inline:{a=1, b=2}, inline:{b=3 c=4}");
    for (key, expect) in [("a", Some("1")), ("B", Some("2")), ("c", Some("4")), ("d", None), ("", None)] {
        let found = block_on(maps.get(key.as_bytes(), true)).unwrap();
        assert_eq!(found.as_deref(), expect.map(str::as_bytes), "{key}");
    }
    assert!(!maps.is_empty() && Maps::default().is_empty());
}

#[test]
fn failures() {
    let place = Place::new();
    for (list, key, is_whole, expect) in [
        ("inline:{a=1} fail:x inline:{b=2}", "a", true, Ok(Some("1"))),
        ("inline:{a=1} fail:x inline:{b=2}", "b", true, Err("fail:x lookup error for \"b\"")),
        // A pattern table is not asked for a part of a name.
        ("inline:{a=1} fail:x inline:{b=2}", "b", false, Ok(Some("2"))),
        (
            "inline:{a=}",
            "a",
            true,
            Err("test_maps lookup of a returns an empty string result\n\
                 test_maps should return NO RESULT in case of NOT FOUND"),
        ),
    ] {
        let found = block_on(maps(&place, list).get(key.as_bytes(), is_whole));
        let found = found.map(|value| value.map(|value| String::from_utf8_lossy(&value).into_owned()));
        let expect = expect.map(|value| value.map(str::to_owned)).map_err(str::to_owned);
        assert_eq!(found.map_err(|later| later.0), expect, "{list} {key}");
    }
}

#[test]
fn addresses_in_all_their_forms() {
    let place = Place::new();
    let maps = maps(&place, "inline:{joe@x.example=bare @x.example=domain}");
    for (address, expect, extension) in
        [("joe+a@x.example", "bare", "+a"), ("Joe@X.example", "bare", ""), ("jim+b@x.example", "domain", "")]
    {
        let (address, extensions) = (Address::from(address), Extensions::new("+"));
        let hit = block_on(maps.find(&address, Search::REWRITE, &extensions, false)).unwrap().unwrap();
        assert_eq!(
            (&hit.value[..], &hit.extension[..]),
            (expect.as_bytes(), extension.as_bytes()),
            "{address}"
        );
    }
}
