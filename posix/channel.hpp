// Bytes from one end to the other: what a pipe is, and each direction of a stream between AF_UNIX sockets.
// Context: thread, holding no lock of rank <= descriptor.
#pragma once

#include <memory>

#include "kernel/sched/mutex.hpp"
#include "kernel/sync/lock.hpp"
#include "posix/description.hpp"

namespace ringlet::posix {

class Channel : public Counted {
public:
    static constexpr usize kMost = 64 * 1024;  ///< bytes under way

    /// Who is told of changes: the descriptions of its ends, which call end_of…() before they go.
    void begin(Description& reader, Description& writer);
    void end_of_reader();
    /// shutdown(), or the description goes.
    void end_of_writer();

    enum class Take : u8 { out, peek };
    /// EAGAIN: nothing there. 0: the writer is gone.
    Outcome<usize> read(MutableBytes to, Take how = Take::out);
    /// As much as fits, at least `least` bytes. EAGAIN; EPIPE: the reader is gone; ENOMEM.
    Outcome<usize> write(Bytes from, usize least = 1);
    usize size();
    /// The writer is gone.
    bool is_ended();
    /// POLLIN and POLLHUP for the reader; POLLOUT and POLLERR for the writer.
    short readable();
    short writable();

private:
    struct State {
        Description* reader = nullptr;
        Description* writer = nullptr;
        std::unique_ptr<std::byte[]> ring;
        usize capacity = 0, first = 0, size = 0;
        bool writer_gone = false, reader_gone = false;
        bool grow(usize wanted);
        void copy_out(usize at, MutableBytes to) const;
    };
    kernel::Guarded<State, kernel::Rank::descriptor, kernel::Mutex> state_;
};

}  // namespace ringlet::posix
