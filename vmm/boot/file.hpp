// Whole files into memory, with errors that say what to do: the first place a mistyped option is noticed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "arch/bytes.hpp"
#include "arch/result.hpp"

namespace ringside::boot {

// `what` names the file's part in the error ("kernel", "initrd").  Regular files of 1..`limit` bytes.
Result<Bytes> read_file(std::string_view what, const std::filesystem::path& path, std::uint64_t limit);

}  // namespace ringside::boot
