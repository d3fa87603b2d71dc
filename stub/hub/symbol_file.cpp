#include "stub/hub/symbol_file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "stub/guestos/symbol_elf.hpp"

namespace ringside::hub {
namespace {

constexpr std::string_view kDebug = "/usr/lib/debug";

template <typename T>
std::optional<T> read_at(std::ifstream& file, std::uint64_t offset) {
  T value;
  file.clear();
  file.seekg(static_cast<std::streamoff>(offset));
  if (!file.read(reinterpret_cast<char*>(&value), sizeof value)) return std::nullopt;
  return value;
}

// Whether one of the file's notes is this build id.
bool has_build_id(const std::string& path, std::string_view wanted) {
  constexpr std::uint64_t kMostNotes = 64;
  std::ifstream file(path, std::ios::binary);
  const auto header = read_at<Elf64_Ehdr>(file, 0);
  if (!header || !std::equal(ELFMAG, ELFMAG + SELFMAG, header->e_ident)) return false;
  for (unsigned i = 0; i < header->e_phnum; ++i) {
    const auto segment = read_at<Elf64_Phdr>(file, header->e_phoff + i * sizeof(Elf64_Phdr));
    if (!segment || segment->p_type != PT_NOTE) continue;
    std::uint64_t at = segment->p_offset;
    for (unsigned n = 0; n < kMostNotes && at < segment->p_offset + segment->p_filesz; ++n) {
      const auto note = read_at<Elf64_Nhdr>(file, at);
      if (!note) break;
      const auto aligned = [](std::uint64_t size) { return (size + 3) & ~std::uint64_t{3}; };
      const std::uint64_t contents = at + sizeof(Elf64_Nhdr) + aligned(note->n_namesz);
      if (note->n_type == NT_GNU_BUILD_ID && note->n_descsz * 2 == wanted.size()) {
        std::string id;
        for (unsigned b = 0; b < note->n_descsz; ++b) {
          id += fmt::format("{:02x}", read_at<std::uint8_t>(file, contents + b).value_or(0));
        }
        if (id == wanted) return true;
      }
      at = contents + aligned(note->n_descsz);
    }
  }
  return false;
}

// "6.1.0-56-cloud-amd64"; empty when the guest says something that is no name of a file.
std::string version_of(const guestos::Kernel& kernel) {
  constexpr std::string_view kBegin = "Linux version ";
  std::string banner = kernel.banner();
  if (!banner.starts_with(kBegin)) return {};
  banner.erase(0, kBegin.size());
  banner.erase(std::min(banner.find(' '), banner.size()));
  const auto plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '-' || c == '+' || c == '_' || c == '~';
  };
  return std::ranges::all_of(banner, plain) && !banner.starts_with('.') ? banner : std::string{};
}

std::optional<std::string> installed(const guestos::Kernel& kernel, const std::string& id) {
  std::vector<std::string> places{
      fmt::format("{}/.build-id/{}/{}.debug", kDebug, id.substr(0, 2), id.substr(2))};
  if (const std::string version = version_of(kernel); !version.empty()) {
    places.push_back(fmt::format("{}/boot/vmlinux-{}", kDebug, version));
    places.push_back(fmt::format("{}/lib/modules/{}/vmlinux", kDebug, version));
  }
  for (const std::string& place : places) {
    if (has_build_id(place, id)) return place;
  }
  return std::nullopt;
}

// Ours alone: in a folder that others can write to, a name can lead anywhere.
Result<std::string> private_folder() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  const std::string folder = runtime != nullptr && runtime[0] == '/'
                                 ? fmt::format("{}/ringside", runtime)
                                 : fmt::format("/tmp/ringside-{}", ::getuid());
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno("make " + folder, errno);
  struct stat found {};
  if (::lstat(folder.c_str(), &found) != 0) return fail_errno("look at " + folder, errno);
  if (!S_ISDIR(found.st_mode) || found.st_uid != ::getuid() || (found.st_mode & 077) != 0) {
    return fail(Errc::kRefused, fmt::format("{} is not a folder of this user alone", folder));
  }
  return folder;
}

Result<std::string> write_file(const std::string& folder, const std::string& name, ByteView bytes) {
  std::string temporary = folder + "/.new-XXXXXX";
  const int fd = ::mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0) return fail_errno("write into " + folder, errno);
  int error = 0;
  while (!bytes.empty() && error == 0) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno != EINTR) error = errno;
    if (written > 0) bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  ::close(fd);
  const std::string path = folder + "/" + name;
  if (error == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error == 0) return path;
  ::unlink(temporary.c_str());
  return fail_errno("write " + path, error);
}

}  // namespace

Result<std::string> symbol_file_for(const guestos::Kernel& kernel) {
  const std::string id = kernel.build_id();
  if (id.size() < 4) return fail(Errc::kNotFound, "the guest's kernel has no build id");
  if (auto found = installed(kernel, id)) return std::move(*found);
  const std::string folder = RS_TRY(private_folder());
  return write_file(folder, id + ".elf", guestos::make_symbol_elf(kernel));
}

}  // namespace ringside::hub
