//! Virtual aliases: one recipient becomes any number, again and again until no table knows more.

use crate::Router;
use mail::Address;
use std::collections::HashSet;
use std::fmt;
use tables::TryLater;

/// Why an alias could not be expanded: `4.6.0 Alias expansion error`. Prints what `cleanup` logs behind the queue id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpandError {
    /// `virtual_alias_recursion_limit`.
    Nesting { address: Address },
    /// `virtual_alias_expansion_limit`.
    Size { address: Address },
    /// `virtual_alias_address_length_limit`.
    Length { result: Address },
    /// A table could not be asked. This one is no fault of the table's contents: 4.3.0 where it matters.
    TryLater { address: Address, why: TryLater },
}

const PARAMETER: &str = "virtual_alias_maps";

impl fmt::Display for ExpandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |address: &Address| String::from_utf8_lossy(address.as_bytes()).into_owned();
        match self {
            ExpandError::Nesting { address } => {
                write!(f, "unreasonable {PARAMETER} map nesting for {}", text(address))?
            }
            ExpandError::Size { address } => {
                write!(f, "unreasonable {PARAMETER} map expansion size for {}", text(address))?
            }
            ExpandError::Length { result } => {
                write!(f, "unreasonable {PARAMETER} result {:.300}...", text(result))?
            }
            ExpandError::TryLater { address, .. } => {
                write!(f, "{PARAMETER} map lookup problem for {}", text(address))?
            }
        }
        f.write_str(" -- message not accepted, try again later")
    }
}

impl std::error::Error for ExpandError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ExpandError::TryLater { why, .. } => Some(why),
            _ => None,
        }
    }
}

impl Router {
    /// Expands a recipient in standard form by `virtual_alias_maps`. At least one comes out; duplicates may.
    pub async fn expand(&self, recipient: &Address) -> Result<Vec<Address>, ExpandError> {
        let mut expansion = Expansion { done: Vec::new(), settled: HashSet::new() };
        if self.settings.virtual_alias_maps.is_empty() {
            return Ok(vec![recipient.clone()]);
        }
        expansion.done.push(recipient.clone());
        let mut index = 0;
        while index < expansion.done.len() {
            if expansion.done.len() > self.settings.virtual_alias_expansion_limit {
                return Err(ExpandError::Size { address: recipient.clone() });
            }
            self.expand_one(&mut expansion, index, recipient).await?;
            index += 1;
        }
        Ok(expansion.done)
    }

    /// Replaces one address by what it stands for: the first result takes its place, others go to the end.
    async fn expand_one(
        &self,
        expansion: &mut Expansion,
        index: usize,
        recipient: &Address,
    ) -> Result<(), ExpandError> {
        let settings = &*self.settings;
        for depth in 0.. {
            let address = expansion.done[index].clone();
            if expansion.settled.contains(&address.folded()) {
                return Ok(());
            }
            if depth >= settings.virtual_alias_recursion_limit {
                return Err(ExpandError::Nesting { address: recipient.clone() });
            }
            let results =
                self.map_address(&address, &settings.virtual_alias_maps, settings.propagate_virtual).await;
            let try_later = |why| ExpandError::TryLater { address: recipient.clone(), why };
            let Some(results) = results.map_err(try_later)? else { return Ok(()) };
            for (nth, result) in results.into_iter().enumerate() {
                if result.as_bytes().len() > settings.virtual_alias_address_length_limit {
                    return Err(ExpandError::Length { result });
                }
                if result.folded() == address.folded() {
                    expansion.settled.insert(address.folded());
                }
                if nth == 0 {
                    expansion.done[index] = result;
                } else {
                    expansion.done.push(result);
                }
            }
        }
        Ok(())
    }
}

/// The recipients so far; those before the current one are final.
struct Expansion {
    done: Vec<Address>,
    /// Aliases that name themselves: they keep the address, and are not asked again.
    settled: HashSet<Address>,
}
