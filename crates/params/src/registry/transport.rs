//! Parameters that each transport of master.cf has: its name, then one of these.

use super::{Param, Spec};
use crate::value::Kind;

/// A parameter of a transport, as a type. Its `SPEC` has the part of the name behind `TRANSPORT_`.
pub trait TransportParam {
    type Kind: Kind;
    const SPEC: &'static Spec;
}

macro_rules! transport_params {
    ($(#[doc = $doc:literal] $name:ident: $general:ident $(, $with:ident($($arg:literal)?))*;)*) => {
        $(
            #[doc = $doc]
            #[allow(non_camel_case_types, reason = "a parameter's type has the parameter's name")]
            #[derive(Clone, Copy, Debug)]
            pub struct $name;

            impl TransportParam for $name {
                type Kind = <super::p::$general as Param>::Kind;
                const SPEC: &'static Spec = &super::macros::spec::<Self::Kind>(
                    stringify!($name),
                    concat!("$", stringify!($general)),
                    $doc
                )$(.$with($($arg)?))*;
            }
        )*

        /// All of them.
        pub const SPECS: &[&Spec] = &[$(<$name as TransportParam>::SPEC),*];
    };
}

// name: the parameter it takes its default from
transport_params! {
    /// How much a message must have been served before it can be overtaken.
    delivery_slot_cost: default_delivery_slot_cost;
    /// How much nearer being overtaken is moved, in percent.
    delivery_slot_discount: default_delivery_slot_discount, max(100);
    /// How much nearer being overtaken is moved, in recipients.
    delivery_slot_loan: default_delivery_slot_loan;
    /// How many failures in a row, each of a full set of deliveries, make a destination dead.
    destination_concurrency_failed_cohort_limit: default_destination_concurrency_failed_cohort_limit;
    /// How many deliveries to one destination run at a time.
    destination_concurrency_limit: default_destination_concurrency_limit;
    /// How much a failure lowers the concurrency.
    destination_concurrency_negative_feedback: default_destination_concurrency_negative_feedback;
    /// How much a success raises the concurrency.
    destination_concurrency_positive_feedback: default_destination_concurrency_positive_feedback;
    /// How long to wait between deliveries to one destination.
    destination_rate_delay: default_destination_rate_delay;
    /// How many recipients one delivery has.
    destination_recipient_limit: default_destination_recipient_limit;
    /// How many more recipients may be in memory for messages that overtake.
    extra_recipient_limit: default_extra_recipient_limit;
    /// How many deliveries a destination begins with.
    initial_destination_concurrency: initial_destination_concurrency, min(1);
    /// How small a message must not be to be overtaken.
    minimum_delivery_slots: default_minimum_delivery_slots;
    /// How many recipients of the transport may be in memory.
    recipient_limit: default_recipient_limit;
    /// How long to wait before more recipients are read.
    recipient_refill_delay: default_recipient_refill_delay, min(1);
    /// How many recipients are read at a time.
    recipient_refill_limit: default_recipient_refill_limit, min(1);
    /// How long a command of pipe(8) or spawn(8) may run.
    time_limit: command_time_limit, min(1);
    /// How long to wait between deliveries of the transport.
    transport_rate_delay: default_transport_rate_delay;
}

/// Those that a service has whose command is `program`; none if it is no transport.
pub fn of_program(program: &str) -> impl Iterator<Item = &'static Spec> {
    let is_transport = matches!(program, "local" | "error" | "virtual" | "smtp" | "lmtp" | "pipe");
    let runs_commands = matches!(program, "pipe" | "spawn");
    SPECS.iter().copied().filter(move |s| if s.name == "time_limit" { runs_commands } else { is_transport })
}

/// The specification for a full name, and the transport in it: `smtp_destination_rate_delay`.
pub fn find(name: &str) -> Option<(&str, &'static Spec)> {
    let candidates = SPECS.iter().filter_map(|spec| {
        let transport = name.strip_suffix(spec.name)?.strip_suffix('_')?;
        (!transport.is_empty()).then_some((transport, *spec))
    });
    // The longest wins: `x_extra_recipient_limit` is not the recipient_limit of `x_extra`.
    candidates.max_by_key(|(_, spec)| spec.name.len())
}
