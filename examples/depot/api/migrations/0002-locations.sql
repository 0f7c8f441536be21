alter table items add column location text not null default '' check (length(location) <= 100);
