//! Lists of tables.

use super::Place;
use mail::Address;
use mail::keys::{Extensions, Search, address_keys};
use tables::Maps;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn the_first_answer_counts() {
    let place = Place::new();
    let maps = Maps::open("test_maps", "inline:{a=1, b=2}, inline:{b=3 c=4}", &place.context);
    for (key, expect) in [("a", Some("1")), ("B", Some("2")), ("c", Some("4")), ("d", None), ("", None)] {
        let found = block_on(maps.find(key.as_bytes(), true)).unwrap();
        assert_eq!(found.as_deref(), expect.map(str::as_bytes), "{key}");
    }
    assert!(!maps.is_empty());
    assert!(Maps::open("test_maps", " ", &place.context).is_empty());
}

#[test]
fn try_later_ends_the_search() {
    let place = Place::new();
    let maps = Maps::open("test_maps", "inline:{a=1} fail:x inline:{b=2}", &place.context);
    assert!(block_on(maps.find(b"a", true)).is_ok());
    assert!(block_on(maps.find(b"b", true)).is_err());
    assert_eq!(place.take_log(), ["warning: fail:x lookup error for \"b\""]);
    // A pattern table is not asked for a part of a name.
    assert_eq!(block_on(maps.find(b"b", false)), Ok(Some(b"2"[..].into())));
}

#[test]
fn an_empty_result_is_an_error() {
    let place = Place::new();
    let maps = Maps::open("test_maps", "inline:{a=}", &place.context);
    assert!(block_on(maps.find(b"a", true)).is_err());
    let log = [
        "warning: test_maps lookup of a returns an empty string result",
        "warning: test_maps should return NO RESULT in case of NOT FOUND",
    ];
    assert_eq!(place.take_log(), log);
}

#[test]
fn keys_in_their_order() {
    let place = Place::new();
    let maps = Maps::open("test_maps", "inline:{joe@x.example=bare @x.example=domain}", &place.context);
    let extensions = Extensions::new("+");
    for (address, expect, extension) in [
        ("joe+a@x.example", "bare", Some(&b"+a"[..])),
        ("Joe@X.example", "bare", None),
        ("jim@x.example", "domain", None),
    ] {
        let address = Address::from(address);
        let keys = address_keys(&address, Search::REWRITE, &extensions, false);
        let (value, key) = block_on(maps.find_keys(&keys)).unwrap().unwrap();
        assert_eq!(value, expect);
        assert_eq!(key.extension, extension);
    }
}
