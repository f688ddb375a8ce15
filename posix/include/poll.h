/* POSIX <poll.h>. */
#ifndef _POLL_H_
#define _POLL_H_

#include <signal.h>
#include <sys/cdefs.h>
#include <time.h>

#define POLLIN 0x0001
#define POLLPRI 0x0002
#define POLLOUT 0x0004
#define POLLERR 0x0008
#define POLLHUP 0x0010
#define POLLNVAL 0x0020
#define POLLRDNORM 0x0040
#define POLLRDBAND 0x0080
#define POLLWRNORM 0x0100
#define POLLWRBAND 0x0200
#define POLLRDHUP 0x2000

typedef unsigned int nfds_t;

struct pollfd {
  int fd;
  short events;
  short revents;
};

__BEGIN_DECLS
int poll(struct pollfd[], nfds_t, int);
int ppoll(struct pollfd[], nfds_t, const struct timespec *, const sigset_t *);
__END_DECLS

#endif
