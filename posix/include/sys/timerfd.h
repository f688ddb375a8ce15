/* A timer as a descriptor. */
#ifndef _SYS_TIMERFD_H_
#define _SYS_TIMERFD_H_

#include <fcntl.h>
#include <time.h>

#define TFD_TIMER_ABSTIME 1
#define TFD_NONBLOCK O_NONBLOCK
#define TFD_CLOEXEC O_CLOEXEC

__BEGIN_DECLS
int timerfd_create(clockid_t clock, int flags);
int timerfd_settime(int fd, int flags, const struct itimerspec *to, struct itimerspec *old);
int timerfd_gettime(int fd, struct itimerspec *now);
__END_DECLS

#endif
