//! The queue manager's settings, out of main.cf and master.cf.
//!
//! Warnings have qmgr(8)'s and bounce(8)'s words; files are read by the caller.

use crate::notice::{Notices, NotifyClasses};
use crate::scheduler::{Feedback, Limits, WindowLimits};
use crate::settings::Settings;
use params::bounce_template::{Templates, Values};
use params::{Diagnostic, View, p, service};
use std::sync::Arc;

impl Settings {
    /// `view` is that of the qmgr service.
    pub fn read(view: &View, mistakes: &mut Vec<Diagnostic>) -> Settings {
        let q: service::Qmgr = view.load(mistakes);
        let mut settings = Settings {
            minimal_backoff_time: q.minimal_backoff_time,
            maximal_backoff_time: q.maximal_backoff_time,
            queue_run_delay: q.queue_run_delay,
            maximal_queue_lifetime: q.maximal_queue_lifetime,
            bounce_queue_lifetime: q.bounce_queue_lifetime,
            delay_warning_time: q.delay_warning_time,
            confirm_delay_cleared: q.confirm_delay_cleared,
            transport_retry_time: q.transport_retry_time,
            daemon_timeout: view.get(p::daemon_timeout, mistakes),
            qmgr_message_active_limit: size(q.qmgr_message_active_limit),
            qmgr_message_recipient_limit: size(q.qmgr_message_recipient_limit),
            qmgr_message_recipient_minimum: size(q.qmgr_message_recipient_minimum),
            qmgr_clog_warn_time: q.qmgr_clog_warn_time,
            helpful_warnings: q.helpful_warnings,
            defer_transports: q.defer_transports,
            default_filter_nexthop: q.default_filter_nexthop,
            address_verify_pending_request_limit: size(
                view.get(p::address_verify_pending_request_limit, mistakes),
            ),
            recipient_delimiter: view.get(p::recipient_delimiter, mistakes),
            myhostname: view.get(p::myhostname, mistakes),
            double_bounce_sender: q.double_bounce_sender,
        };
        settings.adjust(mistakes);
        settings
    }

    fn adjust(&mut self, mistakes: &mut Vec<Diagnostic>) {
        let mut warn = |name: &str, than: &str, how: &str| {
            mistakes.push(Diagnostic::warning(format!("{name} is {how} than {than} - adjusting {name}")));
        };
        if self.qmgr_message_recipient_limit < self.qmgr_message_active_limit {
            warn("qmgr_message_recipient_limit", "qmgr_message_active_limit", "smaller");
            self.qmgr_message_recipient_limit = self.qmgr_message_active_limit;
        }
        if self.bounce_queue_lifetime > self.maximal_queue_lifetime {
            warn("bounce_queue_lifetime", "maximal_queue_lifetime", "larger");
            self.bounce_queue_lifetime = self.maximal_queue_lifetime;
        }
    }
}

impl Limits {
    /// Those of the transport of that name. `process_limit` is master.cf's maxproc; 0: none.
    pub fn read(view: &View, transport: &str, process_limit: u32, mistakes: &mut Vec<Diagnostic>) -> Limits {
        let t = service::Transport::read(view, transport, mistakes);
        let mut feedback = |sign: &str, text: &str| {
            text.parse().unwrap_or_else(|_| {
                let name = format!("{transport}_destination_concurrency_{sign}_feedback");
                let what = "ignoring malformed or unreasonable feedback";
                mistakes.push(Diagnostic::warning(format!("{name}: {what}: {text}")));
                Feedback::ONE
            })
        };
        Limits {
            process_limit,
            window: WindowLimits {
                initial_destination_concurrency: count(t.initial_destination_concurrency),
                destination_concurrency_limit: count(t.destination_concurrency_limit),
                positive_feedback: feedback("positive", &t.destination_concurrency_positive_feedback),
                negative_feedback: feedback("negative", &t.destination_concurrency_negative_feedback),
                failed_cohort_limit: count(t.destination_concurrency_failed_cohort_limit),
            },
            destination_recipient_limit: size(t.destination_recipient_limit),
            destination_rate_delay: t.destination_rate_delay,
            transport_rate_delay: t.transport_rate_delay,
            delivery_slot_cost: count(t.delivery_slot_cost),
            delivery_slot_loan: count(t.delivery_slot_loan),
            delivery_slot_discount: count(t.delivery_slot_discount),
            minimum_delivery_slots: count(t.minimum_delivery_slots),
        }
    }
}

impl Notices {
    /// `view` is that of the bounce service; `template_file` is what `bounce_template_file` holds, None if none is set.
    pub fn read(view: &View, template_file: Option<&[u8]>, mistakes: &mut Vec<Diagnostic>) -> Notices {
        let b: service::Bounce = view.load(mistakes);
        let has_class = |class: &str| b.notify_classes.iter().any(|c| c.eq_ignore_ascii_case(class));
        let names = view.clone();
        let parameter = move |name: &str| {
            names.lookup(name)?;
            names.expand(&format!("${{{name}}}")).ok()
        };
        let values = Values {
            delay_warning_time: b.delay_warning_time,
            maximal_queue_lifetime: b.maximal_queue_lifetime,
            parameter: &parameter,
        };
        let templates = match template_file {
            None => Templates::built_in(),
            Some(file) => {
                let (templates, warnings) = read_templates(&b.bounce_template_file, file, &values);
                mistakes.extend(warnings.into_iter().map(Diagnostic::warning));
                templates
            }
        };
        Notices {
            notify_classes: NotifyClasses {
                bounce: has_class("bounce"),
                double_bounce: has_class("2bounce"),
                delay: has_class("delay"),
            },
            bounce_notice_recipient: b.bounce_notice_recipient.as_str().into(),
            double_bounce_notice_recipient: b._2bounce_notice_recipient.as_str().into(),
            delay_notice_recipient: b.delay_notice_recipient.as_str().into(),
            bounce_size_limit: size(b.bounce_size_limit) as u64,
            smtputf8_enable: b.smtputf8_enable,
            enable_threaded_bounces: b.enable_threaded_bounces,
            disable_verp_bounces: view.get(p::disable_verp_bounces, mistakes),
            is_header_from_obsolete: view.get(p::header_from_format, mistakes) == "obsolete",
            delay_warning_time: b.delay_warning_time,
            maximal_queue_lifetime: b.maximal_queue_lifetime,
            templates: Arc::new(templates),
            myhostname: b.myhostname,
            mail_name: b.mail_name,
            double_bounce_sender: b.double_bounce_sender,
            parameter: Arc::new(parameter),
            zone_at: sys::local_time::zone_at,
        }
    }
}

/// The registry has seen to it that none is negative.
fn size(n: i32) -> usize {
    n.max(0) as usize
}

fn count(n: i32) -> u32 {
    n.max(0) as u32
}

/// A file with a mistake leaves the templates in place that it spoils: mail is not kept waiting for it.
fn read_templates(path: &str, file: &[u8], values: &Values<'_>) -> (Templates, Vec<String>) {
    match Templates::parse(path, file) {
        Err(why) => (Templates::built_in(), vec![why]),
        Ok((templates, mut warnings)) => {
            let (templates, said) = templates.checked(values);
            warnings.extend(said);
            (templates, warnings)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use params::{Config, HostFacts, MainCf};
    use std::time::Duration;

    fn view(main_cf: &str) -> View {
        let host = HostFacts { hostname: "mail.example.com".into(), ..HostFacts::default() };
        let (main, _) = MainCf::parse("/etc/postfix/main.cf", main_cf.as_bytes());
        View::new(Config { main, host, ..Config::default() })
    }

    #[test]
    fn the_defaults_are_postfixs() {
        let (view, mut mistakes) = (view("compatibility_level = 3.6\n"), Vec::new());
        let settings = Settings::read(&view, &mut mistakes);
        assert_eq!(settings, Settings { myhostname: "mail.example.com".into(), ..Settings::default() });
        assert_eq!(Limits::read(&view, "smtp", 100, &mut mistakes), Limits::default());
        let local = Limits::read(&view, "local", 0, &mut mistakes);
        assert_eq!((local.destination_recipient_limit, local.window.destination_concurrency_limit), (1, 2));
        let notices = Notices::read(&view, None, &mut mistakes);
        assert_eq!((notices.bounce_size_limit, notices.notify_classes), (50_000, NotifyClasses::default()));
        assert!(notices.smtputf8_enable && !notices.enable_threaded_bounces);
        assert_eq!(mistakes, []);
    }

    #[test]
    fn what_is_set_is_taken_and_what_is_strange_is_said() {
        let main_cf = "maximal_queue_lifetime = 1d\nqmgr_message_active_limit = 30000\nslow_destination_rate_delay = 2s\n\
                       slow_destination_concurrency_positive_feedback = 1/concurrency\n\
                       slow_destination_concurrency_negative_feedback = 7\nnotify_classes = bounce, 2bounce delay\n\
                       bounce_template_file = /b.cf\nmyhostname = h.example\nheader_from_format = obsolete\n";
        let (view, mut mistakes) = (view(main_cf), Vec::new());
        let settings = Settings::read(&view, &mut mistakes);
        assert_eq!(settings.bounce_queue_lifetime, Duration::from_secs(86_400));
        assert_eq!(settings.qmgr_message_recipient_limit, 30_000);
        let limits = Limits::read(&view, "slow", 1, &mut mistakes);
        assert_eq!(limits.destination_rate_delay, Duration::from_secs(2));
        assert_eq!(limits.window.positive_feedback, "1/concurrency".parse().expect("feedback"));
        let template = b"failure_template = <<E\nSubject: no\n\nat $myhostname $nosuch\nE\n";
        let notices = Notices::read(&view, Some(template), &mut mistakes);
        assert!(notices.notify_classes == NotifyClasses { bounce: true, double_bounce: true, delay: true });
        assert!(notices.is_header_from_obsolete);
        assert_eq!((notices.parameter)("myhostname").as_deref(), Some("h.example"));
        assert_eq!((notices.parameter)("nosuch"), None);
        let said: Vec<&str> = mistakes.iter().map(|m| m.message.as_str()).collect();
        assert_eq!(
            said,
            [
                "qmgr_message_recipient_limit is smaller than qmgr_message_active_limit - adjusting qmgr_message_recipient_limit",
                "bounce_queue_lifetime is larger than maximal_queue_lifetime - adjusting bounce_queue_lifetime",
                "slow_destination_concurrency_negative_feedback: ignoring malformed or unreasonable feedback: 7",
                "/b.cf: undefined $name in failure template: at $myhostname $nosuch -- ignoring this template",
            ]
        );
    }
}
