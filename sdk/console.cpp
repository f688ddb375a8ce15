#include <ringlet/console.hpp>

#include <algorithm>
#include <utility>

namespace ringlet {

void ConsoleWriter::operator()(std::string_view piece) {
    while (!piece.empty()) {
        const usize part = std::min(piece.size(), sizeof text_ - size_);
        std::copy_n(piece.data(), part, text_ + size_);
        size_ += part;
        piece.remove_prefix(part);
        if (size_ == sizeof text_) flush();
    }
}

void ConsoleWriter::flush() {
    if (size_ != 0) kernel::console_write({text_, std::exchange(size_, 0)});
}

void vprint(std::string_view format, std::span<const detail::FormatArg> args) {
    ConsoleWriter writer;
    detail::vformat(writer, format, args);
}

}  // namespace ringlet
