#include "stub/cli/dump_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "arch/addr.hpp"

namespace ringside::cli {
namespace {

// A new file beside `path`, which takes its place at the end, or goes.  A dump holds what the guest has in
// memory, secrets too: it is for its owner alone.
class NewFile {
 public:
  static Result<NewFile> create(const std::string& path) {
    std::string temporary = path + ".XXXXXX";
    const int fd = ::mkostemp(temporary.data(), O_CLOEXEC);
    if (fd < 0) return fail_errno("write " + path, errno);
    return NewFile(fd, path, std::move(temporary));
  }
  NewFile(NewFile&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)),
        path_(std::move(other.path_)),
        temporary_(std::move(other.temporary_)) {}
  NewFile& operator=(NewFile&&) = delete;
  ~NewFile() {
    if (fd_ < 0) return;
    ::close(fd_);
    ::unlink(temporary_.c_str());
  }

  Result<void> write(std::uint64_t offset, ByteView bytes) {
    while (!bytes.empty()) {
      const ssize_t size = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (size < 0 && errno == EINTR) continue;
      if (size <= 0) return fail_errno("write " + path_, size < 0 ? errno : ENOSPC);
      offset += static_cast<std::uint64_t>(size);
      bytes = bytes.subspan(static_cast<std::size_t>(size));
    }
    return {};
  }

  Result<void> finish(std::uint64_t size) {
    if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) return fail_errno("write " + path_, errno);
    const int closed = ::close(std::exchange(fd_, -1));
    if (closed == 0 && ::rename(temporary_.c_str(), path_.c_str()) == 0) return {};
    const int error_number = errno;
    ::unlink(temporary_.c_str());
    return fail_errno("write " + path_, error_number);
  }

 private:
  NewFile(int fd, std::string path, std::string temporary)
      : fd_(fd), path_(std::move(path)), temporary_(std::move(temporary)) {}

  int fd_;
  std::string path_;
  std::string temporary_;
};

bool is_zero(ByteView page) {
  return page.empty() || (page[0] == 0 && std::equal(page.begin() + 1, page.end(), page.begin()));
}

// Runs of pages that are not all zero; how many bytes that were.
Result<std::uint64_t> write_pages(NewFile& file, std::uint64_t offset, ByteView bytes) {
  std::uint64_t written = 0;
  for (std::size_t at = 0; at < bytes.size();) {
    std::size_t end = at;
    while (end < bytes.size() && !is_zero(bytes.subspan(end, std::min(kPageSize, bytes.size() - end))))
      end += std::min(kPageSize, bytes.size() - end);
    if (end > at) RS_TRY(file.write(offset + at, bytes.subspan(at, end - at)));
    written += end - at;
    at = std::min(end + kPageSize, bytes.size());  // the page at `end` is zero, or there is none
  }
  return written;
}

}  // namespace

Result<DumpSize> write_dump(DumpContents contents, const std::string& path) {
  const Bytes head =
      guestos::make_vmcore_head(contents.cpus, contents.vmcoreinfo, contents.maps, contents.ram);
  NewFile file = RS_TRY(NewFile::create(path));
  RS_TRY(file.write(0, head));
  DumpSize size;
  std::uint64_t end = head.size();
  for (const guestos::DumpedRam& ram : contents.ram) {
    std::uint64_t offset = ram.file_offset;
    const auto take = [&](ByteView piece) -> Result<void> {
      size.written += RS_TRY(write_pages(file, offset, piece));
      offset += piece.size();
      return {};
    };
    RS_TRY(contents.read(ram, take));
    end = ram.file_offset + ram.bytes;
    size.memory += ram.bytes;
  }
  RS_TRY(file.finish(end));
  return size;
}

std::string to_text(const DumpSize& size) {
  return fmt::format("{} MiB of memory, {} MiB of it not zero", size.memory >> 20, size.written >> 20);
}

}  // namespace ringside::cli
