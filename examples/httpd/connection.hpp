// What the server remembers of one client. Private to the server's sources.
#pragma once

#include <initializer_list>

#include "server.hpp"

namespace httpd {

/// Text that grows on the heap up to a bound; empty costs nothing.
class Text {
public:
    std::string_view view() const { return {data_.get(), size_}; }
    usize size() const { return size_; }
    bool empty() const { return size_ == 0; }
    /// Room for at least `bytes` more at the end; nullptr when memory is out.
    char* reserve(usize bytes);
    usize room() const { return capacity_ - size_; }
    void grew(usize bytes) { size_ += bytes; }
    bool append(std::string_view text);
    /// All parts in a row, without the formatter: for what every request needs. False, and nothing appended, without
    /// memory.
    bool append_all(std::initializer_list<std::string_view> parts);
    template <class... A> bool print(FormatString<std::type_identity_t<A>...> f, const A&... a) {
        return print(f.text, detail::FormatArgs<A...>(a...).span());
    }
    /// Drops `bytes` from the front.
    void consume(usize bytes);
    void clear() { size_ = 0; }
    void release() {
        data_.reset();
        size_ = capacity_ = 0;
    }

private:
    bool print(std::string_view format, std::span<const detail::FormatArg> args);

    std::unique_ptr<char[]> data_;
    usize size_ = 0, capacity_ = 0;
};

struct Server::Connection : ListNode<> {
    enum class State : u8 {
        reading,    ///< waiting for a whole request head
        sending,    ///< the head is in `out`, the body comes from `file` or `listing`
        lingering,  ///< answered and shut down: the peer's last bytes are read and dropped before closing
    };

    explicit Connection(TcpStream s) : stream(std::move(s)) {}

    TcpStream stream;
    State state = State::reading;
    Interest interest = Interest::read;
    bool keep_alive = false, head_only = false, chunked = false;
    Text in;          ///< received, not yet consumed
    u64 discard = 0;  ///< body bytes of the request still to be dropped
    Text out;         ///< response head, error body or listing text not yet taken by the socket
    File file;
    u64 file_offset = 0, file_left = 0;
    Directory listing;
    bool in_listing = false;
    Instant deadline = Instant::never();
    u32 linger_bytes = 0;
};

/// A piece of a file, pinned in the cache until the network has sent it.
class Server::Lent : public Loan {
public:
    Lent(fs::PinnedBytes piece, std::atomic<u64>& total) : Loan(over), piece_(std::move(piece)), total_(total) {
        total_ += piece_.bytes().size();
    }

private:
    static void over(Loan& loan) {
        auto& self = static_cast<Lent&>(loan);
        self.total_ -= self.piece_.bytes().size();
        delete &self;
    }
    fs::PinnedBytes piece_;
    std::atomic<u64>& total_;
};

}  // namespace httpd
