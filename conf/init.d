#!/bin/sh
### BEGIN INIT INFO
# Provides:          postfix mail-transport-agent
# Required-Start:    $local_fs $remote_fs $syslog $named $network $time
# Required-Stop:     $local_fs $remote_fs $syslog $named $network
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: Oxipost mail transfer agent, under Postfix's name
### END INIT INFO

# Starts, stops and reloads the mail system: /etc/init.d/postfix start|stop|restart|reload|force-reload|status|flush|check|abort

PATH=/sbin:/bin:/usr/sbin:/usr/bin
postfix=/usr/sbin/postfix
unset TZ
[ -x "$postfix" ] && [ -f /etc/postfix/main.cf ] || exit 0

say() { # say TEXT STATUS
    if [ -r /lib/lsb/init-functions ]; then
        . /lib/lsb/init-functions
        log_daemon_msg "$1" postfix
        log_end_msg "$2"
    else
        echo "$1: postfix$([ "$2" = 0 ] || echo ' (failed)')"
    fi
}
is_running() { "$postfix" status >/dev/null 2>&1; }

case ${1:-} in
    start)
        is_running || "$postfix" start
        status=$?; say 'Starting mail system' $status; exit $status ;;
    stop)
        ! is_running || "$postfix" stop
        status=$?; say 'Stopping mail system' $status; exit $status ;;
    restart)
        "$0" stop; exec "$0" start ;;
    reload|force-reload)
        exec "$postfix" reload ;;
    flush|check|abort)
        exec "$postfix" "$1" ;;
    status)
        if is_running; then echo 'postfix is running'; else echo 'postfix is not running'; exit 3; fi ;;
    *)
        echo "Usage: /etc/init.d/postfix {start|stop|restart|reload|flush|check|abort|force-reload|status}" >&2
        exit 1 ;;
esac
