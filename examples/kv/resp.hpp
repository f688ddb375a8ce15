// Redis' protocol, RESP2: commands as arrays of bulk strings, or as a line of words ("inline").
#pragma once

#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

/// The peer does not speak the protocol, or more than we listen to.
struct ProtocolError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Finds commands in a stream of bytes.
class CommandReader {
public:
    static constexpr std::size_t kMaxWords = 1024, kMaxWord = 1 << 20, kMaxCommand = 2 << 20, kMaxLine = 64 << 10;

    void feed(std::string_view bytes) { buffer_ += bytes; }
    /// The next whole command, not empty; nullopt: more bytes are needed. Throws ProtocolError.
    std::optional<std::vector<std::string>> next();

private:
    std::optional<std::string_view> line();
    std::optional<std::vector<std::string>> words_of_array(std::string_view head);

    std::string buffer_;
    std::size_t at_ = 0;  ///< what is before it was understood
};

std::string simple(std::string_view text);  ///< +OK
std::string error(std::string_view text);   ///< -ERR …
std::string number(long long value);        ///< :7
std::string bulk(std::string_view bytes);   ///< $5 hello
std::string nil();                          ///< $-1
std::string array(const std::vector<std::string>& items);
