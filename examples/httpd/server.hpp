// A static file server as one event loop: hundreds of connections, no thread for any of them. HTTP/1.1 with keep-alive
// and pipelining, GET and HEAD, ranges, conditional requests, directory listings. Files are sent straight from the
// block cache: pinned and lent to the network, without a copy; while too much of it is, copied into the socket.
// Context: one thread calls run(); nothing else may touch the server.
#pragma once

#include <atomic>
#include <memory>
#include <string_view>

#include <ringlet/file.hpp>
#include <ringlet/network.hpp>
#include <ringlet/thread.hpp>

#include "http.hpp"
#include "lib/list.hpp"

namespace httpd {

struct Options {
    std::string_view root = "/";
    u16 port = 80;
    u32 max_connections = 512;                      ///< then the one that has got nowhere for longest makes room
    u64 max_lent_bytes = 0;                         ///< of cached files, pinned while the network sends them
    Duration idle_timeout = Duration::from_s(30);   ///< a kept-alive connection that asks for nothing
    Duration head_timeout = Duration::from_s(10);   ///< from the first byte of a request to its last
    Duration write_timeout = Duration::from_s(30);  ///< a client that takes nothing
};

struct Counters {
    u64 accepted = 0, requests = 0, refused = 0, timed_out = 0, evicted = 0, bytes_sent = 0, out_of_memory = 0;
};

class Server {
public:
    explicit Server(const Options& options) : options_(options), selector_(network()) {}

    /// Opens the listening socket. in_use, no_memory.
    Result<> listen();
    /// Serves for ever. Returns only when the listener fails.
    Result<> run();
    const Counters& counters() const { return counters_; }

private:
    struct Connection;
    class Lent;
    enum class Progress : u8 { again, wait_read, wait_write, closed };

    void accept_all();
    void accept_again();
    bool may_evict(const Connection& c) const;
    void evict(Connection& c);
    void advanced(Connection& c);
    void serve(Connection& c, const Ready& ready);
    Progress step(Connection& c);
    Progress read_request(Connection& c);
    Progress send(Connection& c);
    Progress linger(Connection& c);
    Progress finish_response(Connection& c);
    bool read_more(Connection& c, bool& ended);

    void respond(Connection& c, const Request& r);
    void respond_file(Connection& c, const Request& r, File file, const Stat& stat);
    void append_small_body(Connection& c, File& file);
    bool respond_index(Connection& c, const Request& r, std::string_view path);
    void respond_directory(Connection& c, const Request& r, std::string_view path);
    void respond_error(Connection& c, Status status, std::string_view extra_fields = {});
    void respond_redirect(Connection& c, const Request& r);
    bool send_body(Connection& c, Progress& out);
    Result<usize> send_piece(Connection& c, fs::PinnedBytes piece, Bytes bytes);
    bool fill_listing(Connection& c);

    void set_deadline(Connection& c, Duration from_now);
    void expire();
    void close(Connection& c);

    Options options_;
    Counters counters_;
    Selector selector_;
    std::unique_ptr<TcpListener> listener_;
    List<Connection> connections_;  ///< at the front the one that has got nowhere for longest
    u32 open_ = 0;
    std::atomic<u64> lent_bytes_{0};  ///< given back under the network's monitor, by any thread
    bool accepting_ = true;
    Instant now_, next_expiry_;
    DateText date_, modified_;  ///< of answers, and of the files they hold
};

}  // namespace httpd
