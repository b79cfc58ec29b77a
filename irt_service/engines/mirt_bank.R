# The part of the mirt engine that runs inside R; mirt_process.py calls calibrate_bank().
#
# Priors are handed to mirt as normal ones wherever its own are wrong (mirt 1.47):
# - the gradient of its Beta prior on c lacks the factor c (1 - c). A normal prior of logit c with
#   the same gradient at the current estimate has the same maximum; it is renewed until it stays
#   (a minorisation: Hunter & Lange, 2004, The American Statistician 58(1)).
# - the Hessian of its log-normal prior on a has a sign error. The gradient is right, so it serves
#   for estimation; for the standard errors a normal prior of the right curvature replaces it.

CYCLES_IN_A_ROUND <- 200L # then items without a finite maximum are looked for
FIRST_TOLERANCE <- 1e-3
LEAST_PRECISION <- 1e-8
GRID_TOLERANCE <- 0.01 # in SDs; the error of the quadrature hardly depends on the grid's place

# Said of every fit that goes on from an earlier one, or that only computes standard errors.
EXPECTED_WARNINGS <- "EM cycles terminated after|M-step optimizer converged immediately"

beta_gradient <- function(logit, alpha, beta) {
    guessing <- plogis(logit)
    (alpha - 1) * (1 - guessing) - (beta - 1) * guessing
}

beta_precision <- function(logit, alpha, beta) {
    guessing <- plogis(logit)
    (alpha + beta - 2) * guessing * (1 - guessing)
}

# Second derivative of minus the log density of a log-normal a.
lognormal_precision <- function(a, mean, sd) {
    (1 / sd^2 - 1 - (log(a) - mean) / sd^2) / a^2
}

rows_named <- function(values, name) which(values$name == name)

estimated_rows <- function(values, name) which(values$name == name & values$est)

set_prior <- function(values, rows, type, first, second) {
    values$prior.type[rows] <- type
    values$prior_1[rows] <- first
    values$prior_2[rows] <- second
    values
}

# A normal prior of logit c that touches Beta(alpha, beta) at the current c.
touch_beta <- function(values, rows, prior, is_exact) {
    logit <- qlogis(values$value[rows])
    precision <- beta_precision(logit, prior[1], prior[2])
    if (!is_exact) {
        mode <- qlogis((prior[1] - 1) / (sum(prior) - 2))
        precision <- pmax(precision, beta_precision(mode, prior[1], prior[2]))
    }
    mean <- logit + beta_gradient(logit, prior[1], prior[2]) / precision
    set_prior(values, rows, "norm", mean, 1 / sqrt(precision))
}

start_values <- function(values, start, is_estimated, latent_is_free) {
    for (k in 1:3) {
        rows <- rows_named(values, c("a1", "d", "g")[k])
        values$value[rows] <- start[, k]
        values$est[rows] <- is_estimated[, k]
    }
    values$est[rows_named(values, "u")] <- FALSE
    values$est[rows_named(values, "MEAN_1")] <- latent_is_free[1]
    values$est[rows_named(values, "COV_11")] <- latent_is_free[2]
    values$prior.type <- as.character(values$prior.type)
    values
}

latent_of <- function(values) {
    c(
        values$value[rows_named(values, "MEAN_1")],
        sqrt(values$value[rows_named(values, "COV_11")])
    )
}

no_covariance <- function(n_items) {
    list(items = matrix(NaN, n_items, 9), latent = matrix(NaN, 2, 2), is_positive = FALSE)
}

# Covariances of (a, d, logit c) per item, shape (J, 9), and of the latent mean and variance.
covariance_of <- function(model, values, surplus) {
    covariance <- mirt::extract.mirt(model, "vcov")
    n_items <- length(rows_named(values, "a1"))
    latent_rows <- c(rows_named(values, "MEAN_1"), rows_named(values, "COV_11"))
    if (!is.matrix(covariance) || anyNA(covariance)) {
        return(no_covariance(n_items))
    }
    # Names are "a1.1", and "a1.1.5.9" for a parameter that items share.
    owners <- lapply(strsplit(colnames(covariance), ".", fixed = TRUE), function(parts) {
        as.integer(parts[-1])
    })
    place <- integer(nrow(values))
    for (k in seq_along(owners)) place[match(owners[[k]], values$parnum)] <- k
    if (any(surplus != 0)) {
        information <- solve(covariance)
        at <- place[rows_named(values, "a1")]
        for (j in which(surplus != 0 & at > 0)) {
            information[at[j], at[j]] <- information[at[j], at[j]] + surplus[j]
        }
        covariance <- solve(information)
    }
    roots <- eigen(covariance, symmetric = TRUE, only.values = TRUE)$values
    if (any(roots <= 0)) {
        return(no_covariance(n_items))
    }
    block <- function(rows) {
        at <- place[rows]
        result <- matrix(0, length(rows), length(rows))
        result[at > 0, at > 0] <- covariance[at[at > 0], at[at > 0]]
        result
    }
    rows <- cbind(
        rows_named(values, "a1"), rows_named(values, "d"), rows_named(values, "g")
    )
    latent <- block(latent_rows)
    latent[!values$est[latent_rows], ] <- NaN
    latent[, !values$est[latent_rows]] <- NaN
    list(items = t(apply(rows, 1, block)), latent = latent, is_positive = TRUE)
}

# Standard errors by Oakes (1999, JRSS B 61(2)) at the estimate, which is not moved.
standard_errors <- function(job, found) {
    values <- found$values
    all_slopes <- rows_named(values, "a1")
    slopes <- all_slopes[values$est[all_slopes]]
    surplus <- numeric(length(all_slopes))
    if (length(job$slope_prior) && length(slopes)) {
        a <- values$value[slopes]
        mean <- job$slope_prior[1]
        sd <- job$slope_prior[2]
        precision <- lognormal_precision(a, mean, sd)
        gradient <- -(1 + (log(a) - mean) / sd^2) / a
        # Where the log density is convex no normal prior has its curvature: it is added later.
        is_concave <- precision > LEAST_PRECISION
        surplus[match(slopes[!is_concave], all_slopes)] <- precision[!is_concave]
        values <- set_prior(values, slopes, "none", NaN, NaN)
        values <- set_prior(
            values, slopes[is_concave], "norm",
            (a + gradient / precision)[is_concave], 1 / sqrt(precision[is_concave])
        )
    }
    guessings <- estimated_rows(values, "g")
    if (job$guessing_prior == "beta" && length(guessings)) {
        values <- touch_beta(values, guessings, job$guessing_numbers, is_exact = TRUE)
    }
    model <- fit(job, values, found$grid, NaN, 1L, SE = TRUE, SE.type = "Oakes")
    covariance_of(model, values, surplus)
}

# One run of mirt's EM; with tol NaN the values stay as they are.
fit <- function(job, values, grid, tol, cycles, ...) {
    slopes <- estimated_rows(values, "a1")
    is_shared <- job$has_common_slope && length(slopes) > 1
    mirt::mirt(
        job$table, 1,
        itemtype = job$item_types, pars = values,
        constrain = if (is_shared) list(values$parnum[slopes]) else NULL,
        survey.weights = if (length(job$weights)) job$weights else NULL,
        quadpts = job$n_nodes, TOL = tol, accelerate = "none",
        technical = list(
            NCYCLES = cycles, theta_lim = limits(job, grid), customK = rep(2L, ncol(job$table))
        ), ...
    )
}

# The grid spans so many SDs of the latent distribution on either side of its mean.
limits <- function(job, grid) grid[1] + c(-1, 1) * job$range * grid[2]

# Whether an item has left what the grid can resolve: its slope has no finite maximum.
is_lost <- function(job, values, latent) {
    a <- values$value[estimated_rows(values, "a1")]
    d <- values$value[estimated_rows(values, "d")]
    !isTRUE(latent[2] > job$smallest_sd) ||
        any(abs(a) * latent[2] > job$steepest) || any(abs(d) > job$largest_intercept)
}

# Goes on until EM has converged, the priors touch and the grid follows the latent distribution.
estimate <- function(job, values) {
    guessings <- estimated_rows(values, "g")
    is_beta <- job$guessing_prior == "beta" && length(guessings) > 0
    moves <- is_beta || any(job$latent_is_free)
    tol <- if (moves) max(FIRST_TOLERANCE, job$tolerance) else job$tolerance
    grid <- c(0, 1)
    path <- numeric()
    repeat {
        before <- qlogis(values$value[guessings])
        if (is_beta) {
            values <- touch_beta(values, guessings, job$guessing_numbers, is_exact = FALSE)
        }
        model <- fit(job, values, grid, tol, min(CYCLES_IN_A_ROUND, job$max_cycles - length(path)))
        path <- c(path, mirt::extract.mirt(model, "LLhistory"))
        values$value <- mirt::mod2values(model)$value
        latent <- latent_of(values)
        lost <- is_lost(job, values, latent)
        is_at_rest <- mirt::extract.mirt(model, "converged")
        moved <- max(0, abs(qlogis(values$value[guessings]) - before))
        is_converged <- is_at_rest && tol <= job$tolerance && !lost &&
            max(abs(latent - grid)) < GRID_TOLERANCE * grid[2] &&
            (!is_beta || moved < 10 * tol)
        if (is_converged || lost || length(path) >= job$max_cycles) break
        grid <- latent
        if (is_at_rest) tol <- max(job$tolerance, tol / 10)
    }
    list(
        model = model, values = values, latent = latent, grid = grid, path = path,
        is_lost = lost, is_converged = is_converged
    )
}

prepare <- function(job) {
    job$table <- matrix(job$responses, ncol = job$n_items)
    job$responses <- NULL
    colnames(job$table) <- paste0("I", seq_len(job$n_items))
    job$start <- matrix(job$start, ncol = 3)
    job$is_estimated <- matrix(job$is_estimated, ncol = 3)
    job
}

calibrate <- function(job) {
    job <- prepare(job)
    values <- mirt::mirt(
        job$table, 1,
        itemtype = job$item_types, pars = "values",
        technical = list(customK = rep(2L, job$n_items))
    )
    values <- start_values(values, job$start, job$is_estimated, job$latent_is_free)
    if (length(job$slope_prior)) {
        values <- set_prior(
            values, estimated_rows(values, "a1"), "lnorm", job$slope_prior[1], job$slope_prior[2]
        )
    }
    if (job$guessing_prior == "normal") {
        values <- set_prior(
            values, estimated_rows(values, "g"), "norm",
            job$guessing_numbers[1], job$guessing_numbers[2]
        )
    }
    found <- estimate(job, values)
    covariance <- if (job$has_errors && !found$is_lost) {
        standard_errors(job, found)
    } else {
        no_covariance(job$n_items)
    }
    scores <- if (job$has_scores && !found$is_lost) {
        mirt::fscores(
            found$model,
            method = "EAP", full.scores = TRUE, full.scores.SE = TRUE,
            quadpts = job$n_nodes, theta_lim = limits(job, found$grid)
        )
    } else {
        numeric()
    }
    list(
        a = found$values$value[rows_named(values, "a1")],
        d = found$values$value[rows_named(values, "d")],
        c = found$values$value[rows_named(values, "g")],
        latent = found$latent,
        log_likelihood = mirt::extract.mirt(found$model, "logLik"),
        path = found$path,
        is_converged = found$is_converged,
        item_covariance = as.numeric(t(covariance$items)),
        latent_covariance = as.numeric(covariance$latent),
        is_positive_definite = covariance$is_positive,
        scores = as.numeric(scores)
    )
}

# What calibrate() finds, and what R warned of meanwhile.
calibrate_bank <- function(...) {
    # Compiling mirt's large functions takes longer than most calibrations.
    compiler::enableJIT(0L)
    warned <- character()
    result <- withCallingHandlers(
        calibrate(list(...)),
        warning = function(condition) {
            warned <<- c(warned, conditionMessage(condition))
            invokeRestart("muffleWarning")
        }
    )
    result$warnings <- unique(warned[!grepl(EXPECTED_WARNINGS, warned)])
    result
}
