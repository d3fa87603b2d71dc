#include "stub/guestos/copy.hpp"

#include <algorithm>
#include <array>

namespace ringside::guestos {

Copy copy_out(const VirtualMemory& memory, Gva at, std::size_t size) {
  Copy copy{at, Bytes(size)};
  for (std::size_t done = 0; done < size;) {
    const std::size_t piece = std::min(size - done, bytes_to_page_end(at + done));
    if (!memory.read(at + done, MutableByteView(copy.bytes).subspan(done, piece))) {
      std::fill_n(copy.bytes.begin() + static_cast<std::ptrdiff_t>(done), piece, std::uint8_t{0});
    }
    done += piece;
  }
  return copy;
}

std::optional<std::size_t> text_into(const VirtualMemory& memory, Gva at, std::span<char> into) noexcept {
  std::size_t length = 0;
  while (length < into.size()) {
    std::array<std::uint8_t, 64> piece;
    const std::size_t wanted = std::min({piece.size(), into.size() - length, bytes_to_page_end(at + length)});
    if (!memory.read(at + length, std::span(piece).first(wanted))) {
      if (length == 0) return std::nullopt;
      break;
    }
    const auto end = std::find(piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(wanted), 0);
    const auto count = static_cast<std::size_t>(end - piece.begin());
    std::copy_n(piece.begin(), count, into.begin() + static_cast<std::ptrdiff_t>(length));
    length += count;
    if (count < wanted) break;
  }
  return length;
}

std::string text_at(const VirtualMemory& memory, Gva at, std::size_t most) {
  std::string text(most, '\0');
  text.resize(text_into(memory, at, text).value_or(0));
  return text;
}

}  // namespace ringside::guestos
