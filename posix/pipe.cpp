// Pipes: two descriptions with a channel between them.
#include <limits.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <new>

#include "posix/channel.hpp"
#include "posix/descriptor_table.hpp"

namespace ringlet::posix {

namespace {

class PipeEnd final : public Description {
public:
    PipeEnd(RefTo<Channel> channel, int flags) : Description(flags), channel_(std::move(channel)) {}
    ~PipeEnd() override {
        if (readable())
            channel_->end_of_reader();
        else
            channel_->end_of_writer();
    }

    Outcome<usize> read(MutableBytes to) override {
        for (;;) {
            const u32 seen = changes();
            const auto n = channel_->read(to);
            if (n || n.error().code != EAGAIN || !blocks()) return n;
            TRY_POSIX(await_change(seen));
        }
    }

    // Up to PIPE_BUF bytes go as a whole; more go as far as they fit, all of them when it may wait (POSIX, write()).
    Outcome<usize> write(Bytes from) override {
        usize done = 0;
        for (;;) {
            const u32 seen = changes();
            const Bytes rest = from.subspan(done);
            const auto n = channel_->write(rest, from.size() <= PIPE_BUF ? from.size() : 1);
            if (n) done += *n;
            if (done == from.size()) return done;
            if (!n && n.error().code != EAGAIN) return done != 0 ? Outcome<usize>(done) : broken(n.error());
            if (n) continue;
            if (!blocks()) return done != 0 ? Outcome<usize>(done) : refuse(EAGAIN);
            const auto waited = await_change(seen);
            if (!waited) return done != 0 ? Outcome<usize>(done) : refuse(waited.error());
        }
    }

    short ready() override { return readable() ? channel_->readable() : channel_->writable(); }

    Outcome<> stat(struct stat& out) override {
        out = {};
        out.st_mode = S_IFIFO | 0600;
        out.st_nlink = 1;
        out.st_blksize = PIPE_BUF;
        return {};
    }

    Outcome<int> control(unsigned long request, void* argument) override {
        if (request != FIONREAD) return refuse(ENOTTY);
        *static_cast<int*>(argument) = static_cast<int>(channel_->size());
        return 0;
    }

private:
    static Outcome<usize> broken(Errno why) {
        if (why.code == EPIPE) raise(SIGPIPE);
        return refuse(why);
    }
    RefTo<Channel> channel_;
};

Outcome<> make(int (&fds)[2], int flags) {
    if ((flags & ~(O_NONBLOCK | O_CLOEXEC)) != 0) return refuse(EINVAL);
    RefTo<Channel> channel(new (std::nothrow) Channel);
    if (!channel) return refuse(ENOMEM);
    const int mode = flags & O_NONBLOCK;
    Ref reader(new (std::nothrow) PipeEnd(channel, O_RDONLY | mode));
    Ref writer(new (std::nothrow) PipeEnd(channel, O_WRONLY | mode));
    if (!reader || !writer) return refuse(ENOMEM);
    channel->begin(*reader, *writer);
    return insert_two(fds, std::move(reader), std::move(writer), (flags & O_CLOEXEC) != 0);
}

}  // namespace

}  // namespace ringlet::posix

extern "C" {

int pipe2(int fds[2], int flags) {
    int made[2];
    const auto done = ringlet::posix::make(made, flags);
    if (!done) return ringlet::posix::answer(done);
    fds[0] = made[0];
    fds[1] = made[1];
    return 0;
}
int pipe(int fds[2]) {
    return pipe2(fds, 0);
}

}  // extern "C"
