#include "resp.hpp"

#include <charconv>

namespace {

std::size_t length_of(std::string_view digits, std::size_t most, const char* what) {
    std::size_t n = 0;
    const auto [end, bad] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
    if (bad != std::errc{} || end != digits.data() + digits.size() || n > most) throw ProtocolError(what);
    return n;
}

}  // namespace

/// Up to the next \n, without it and a \r before it.
std::optional<std::string_view> CommandReader::line() {
    const std::size_t end = buffer_.find('\n', at_);
    if (end == buffer_.npos) {
        if (buffer_.size() - at_ > kMaxLine) throw ProtocolError("too big inline request");
        return std::nullopt;
    }
    std::string_view found = std::string_view(buffer_).substr(at_, end - at_);
    at_ = end + 1;
    if (found.ends_with('\r')) found.remove_suffix(1);
    return found;
}

std::optional<std::vector<std::string>> CommandReader::words_of_array(std::string_view head) {
    std::vector<std::string> words(length_of(head.substr(1), kMaxWords, "invalid multibulk length"));
    std::size_t total = 0;
    for (std::string& word : words) {
        const auto size = line();
        if (!size) return std::nullopt;
        if (!size->starts_with('$')) throw ProtocolError("expected '$'");
        const std::size_t n = length_of(size->substr(1), kMaxWord, "invalid bulk length");
        if ((total += n) > kMaxCommand) throw ProtocolError("too big request");
        if (buffer_.size() - at_ < n + 2) return std::nullopt;
        word = buffer_.substr(at_, n);
        at_ += n;
        if (std::string_view(buffer_).substr(at_, 2) != "\r\n") throw ProtocolError("expected the end of a line");
        at_ += 2;
    }
    return words;
}

std::optional<std::vector<std::string>> CommandReader::next() {
    for (;;) {
        const std::size_t begin = at_;
        const auto head = line();
        std::optional<std::vector<std::string>> words;
        if (head && head->starts_with('*')) {
            words = words_of_array(std::string(*head));
        } else if (head) {
            words.emplace();
            for (std::size_t i = 0; i < head->size();) {
                const std::size_t end = std::min(head->find(' ', i), head->size());
                if (end > i) words->emplace_back(head->substr(i, end - i));
                i = end + 1;
            }
        }
        if (!words) {  // begin again with it when there is more
            at_ = begin;
            buffer_.erase(0, at_);
            at_ = 0;
            return std::nullopt;
        }
        if (!words->empty()) return words;
    }
}

std::string simple(std::string_view text) {
    return "+" + std::string(text) + "\r\n";
}
std::string error(std::string_view text) {
    return "-ERR " + std::string(text) + "\r\n";
}
std::string number(long long value) {
    return ":" + std::to_string(value) + "\r\n";
}
std::string bulk(std::string_view bytes) {
    return "$" + std::to_string(bytes.size()) + "\r\n" + std::string(bytes) + "\r\n";
}
std::string nil() {
    return "$-1\r\n";
}
std::string array(const std::vector<std::string>& items) {
    std::string all = "*" + std::to_string(items.size()) + "\r\n";
    for (const std::string& item : items) all += bulk(item);
    return all;
}
