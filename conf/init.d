#!/bin/sh
### BEGIN INIT INFO
# Provides:          postfix mail-transport-agent
# Required-Start:    $local_fs $remote_fs $syslog $named $network $time
# Required-Stop:     $local_fs $remote_fs $syslog $named $network
# Should-Start:      postgresql mysql clamav-daemon postgrey saslauthd dovecot
# Should-Stop:       postgresql mysql clamav-daemon postgrey saslauthd dovecot
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: Oxipost mail transfer agent, under Postfix's name
### END INIT INFO

# Starts, stops and reloads the mail system, with the words of Debian's script for Postfix.

sbin=@SBIN@
PATH=/bin:/usr/bin:/sbin:/usr/sbin:$sbin
postfix=$sbin/postfix
unset TZ
[ -x "$postfix" ] && [ -f /etc/postfix/main.cf ] || exit 0

if [ -r /lib/lsb/init-functions ]; then
    . /lib/lsb/init-functions
else
    log_end_msg() { [ "$1" = 0 ] && echo . || { echo ' failed!'; return 1; }; }
    log_success_msg() { echo "$1."; }
    log_action_msg() { echo "$1."; }
fi

instances() { # the configuration directories of the enabled ones
    postmulti -l -a 2>/dev/null | awk '$3 == "y" { print $4 }'
}
is_running() { # by the lock that a running master holds
    ! "$(postconf -c "$1" -hx daemon_directory)/master" -c "$1" -t 2>/dev/null
}
each() { # each start|stop: every instance that this is news to
    status=0
    for directory in $(instances); do
        case $1 in
            start) is_running "$directory" || "$postfix" -c "$directory" start || status=1 ;;
            stop) ! is_running "$directory" || "$postfix" -c "$directory" stop || status=1 ;;
        esac
    done
    log_end_msg $status
}

case ${1:-} in
    start|stop)
        each "$1" || exit 1 ;;
    restart)
        "$0" stop && "$0" start || exit $? ;;
    force-reload|reload)
        exec "$postfix" reload ;;
    status)
        all=1 any=0
        for directory in $(instances); do
            if is_running "$directory"; then any=1; else all=0; fi
        done
        [ $any = 1 ] || { log_success_msg 'postfix is not running'; exit 3; }
        [ $all = 1 ] || { log_success_msg 'some postfix instances are running'; exit 0; }
        log_success_msg 'postfix is running' ;;
    flush|check|abort)
        exec "$postfix" "$1" ;;
    *)
        log_action_msg "Usage: /etc/init.d/postfix {start|stop|restart|reload|flush|check|abort|force-reload|status}"
        exit 1 ;;
esac
exit 0
