# Makes SyTest know `-I Neurite`.
use strict;
use warnings;

require SyTest::Homeserver::Neurite;

package SyTest::HomeserverFactory::Neurite;
use base qw( SyTest::HomeserverFactory );

sub _init
{
   my $self = shift;
   $self->{args} = { command => $ENV{NEURITE_COMMAND} };
   $self->SUPER::_init( @_ );
}

# Tests of what Synapse added on its own run only under its name: `NEURITE_IMPLEMENTATION=synapse`.
sub implementation_name { return $ENV{NEURITE_IMPLEMENTATION} // "neurite"; }

sub get_options
{
   my $self = shift;
   return ( 'neurite-command=s' => \$self->{args}{command} );
}

sub print_usage
{
   print STDERR "   --neurite-command COMMAND  - what starts the server (default: NEURITE_COMMAND)\n";
}

sub create_server
{
   my $self = shift;
   return SyTest::Homeserver::Neurite->new( @_, %{ $self->{args} } );
}

1;
