# Compile the R package mirt, and what Debian lacks of its dependencies, from one day's CRAN.
# The engine's code makes up for faults of exactly this version (irt_service/engines/mirt_bank.R).
SNAPSHOT <- "https://packagemanager.posit.co/cran/2026-11-01"
VERSION <- "1.47"

install.packages(
    "mirt",
    repos = SNAPSHOT,
    dependencies = c("Depends", "Imports", "LinkingTo"),
    Ncpus = max(1L, parallel::detectCores())
)
found <- as.character(packageVersion("mirt"))
if (found != VERSION) {
    stop("the snapshot ", SNAPSHOT, " has mirt ", found, ", and ", VERSION, " is needed")
}
