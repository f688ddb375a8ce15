/* Random bytes, by the kernel's generator. */
#ifndef _SYS_RANDOM_H_
#define _SYS_RANDOM_H_

#include <sys/types.h>

#define GRND_NONBLOCK 1
#define GRND_RANDOM 2

__BEGIN_DECLS
ssize_t getrandom(void *to, size_t bytes, unsigned int flags);
__END_DECLS

#endif
