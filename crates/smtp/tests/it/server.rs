//! The server session against what Postfix said, with the client's octets whole, one by one, and cut at every place.

use super::dialogue::{self, Client, Dialogue, matches};
use super::driver::Driver;

#[test]
fn whole() {
    for dialogue in dialogue::all() {
        run(&dialogue, "whole", |octets| vec![octets]);
    }
}

#[test]
fn one_by_one() {
    for dialogue in dialogue::all().iter().filter(|d| !d.is_whole) {
        run(dialogue, "one by one", |octets| octets.chunks(1).collect());
    }
}

#[test]
fn cut_everywhere() {
    for dialogue in dialogue::all().iter().filter(|d| !d.is_whole) {
        let longest = dialogue.turns.iter().map(|turn| octets(&turn.client).len()).max().unwrap_or(0);
        for at in (1..longest).filter(|at| *at < 120 || *at + 120 > longest || (*at + 2).is_power_of_two()) {
            run(dialogue, &format!("cut behind {at} octets"), |octets| {
                let (start, end) = octets.split_at(at.min(octets.len()));
                vec![start, end]
            });
        }
    }
}

fn octets(client: &Client) -> &[u8] {
    match client {
        Client::Sends(octets) => octets,
        _ => &[],
    }
}

fn run(dialogue: &Dialogue, how: &str, cut: impl Fn(&[u8]) -> Vec<&[u8]>) {
    let mut driver = Driver::new(&dialogue.config);
    for turn in &dialogue.turns {
        if !driver.is_open() {
            assert!(turn.server.is_empty(), "{}: closed too early", dialogue.name);
            break;
        }
        match &turn.client {
            Client::Connects => driver.take(&[]),
            Client::Sends(octets) => cut(octets).into_iter().for_each(|piece| driver.take(piece)),
            Client::ShakesHands => driver.shake_hands(),
            Client::Leaves => driver.leave(),
            Client::IsSilent => driver.be_silent(),
        }
        let said = driver.said();
        let is_right =
            said.len() == turn.server.len() && turn.server.iter().zip(&said).all(|(e, s)| matches(e, s));
        assert!(
            is_right,
            "{} ({how}), after {:?}: {said:#?} instead of {:#?}",
            dialogue.name,
            String::from_utf8_lossy(octets(&turn.client)),
            turn.server
        );
    }
    if driver.is_open() {
        driver.vanish();
    }
    // Whether commands came too early depends on which octets came together.
    let is_fixed = |line: &&String| how == "whole" || !line.starts_with("improper command pipelining");
    let expect: Vec<_> = dialogue.log.iter().filter(is_fixed).collect();
    let log: Vec<_> = driver.log.iter().filter(is_fixed).collect();
    assert_eq!(log, expect, "{} ({how})", dialogue.name);
}
