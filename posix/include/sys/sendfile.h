/* sendfile(): from a file to a socket or file without a copy in the program. */
#ifndef _SYS_SENDFILE_H_
#define _SYS_SENDFILE_H_

#include <sys/types.h>

__BEGIN_DECLS
/* From *offset on, which is moved, or from the file's position when offset is NULL. */
ssize_t sendfile(int to, int from, off_t *offset, size_t bytes);
__END_DECLS

#endif
